"""Owns sending a command, one transaction with its audit entry, and which runs one may see."""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from console.members.models import User
from console.runs import gates, prompts, queue, rate, run_secrets
from console.runs.backend import execution_backend
from console.runs.confirmation import confirmation_for
from console.runs.in_sessions import NotInSessions, check_options, check_sessions, choice_of, machines_of
from console.runs.models import CommandType, Invocation, NotifyState, NotifyWhen, Run
from console.runs.parameters import Filled, ParametersRefused, fill
from console.runs.prompts import Prompt
from console.runs.rate import RateRefused, Rollout
from console.runs.refusals import refusal_by
from console.runs.status import Status
from console.runs.variables import Variables, VariablesRefused, check
from console.saved_commands import services as saved_commands
from console.saved_commands.models import SavedCommandVersion
from console.sessions.models import Session
from instances.access import rules
from instances.access.rules import Action
from instances.audit.services import record
from instances.credentials import services as credentials
from instances.credentials.user_names import check_user_name
from instances.engine.text import is_line
from instances.engine.windows import BAT_RULE, is_bat_value
from instances.inventory.models import Instance

MAX_TIMEOUT_S = 7 * 24 * 3600
TIMEOUT_RULE = f"The time limit is between 1 and {MAX_TIMEOUT_S:,} seconds."
_LINES = {"working_directory": "A working directory", "interpreter": "An interpreter"}


class RunError(Exception):
    """The command cannot be sent like this. ``field`` names the form field the message belongs to."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Options:
    """How a command is sent. Units: ``timeout_s`` seconds; ``max_concurrency`` and ``max_errors`` instances, or "10%".

    ``stop_at_cap``: a command whose output exceeds MUSTER_OUTPUT_CAP is stopped; else it goes on, and what is not kept
    is counted. ``run_as`` is a user of the instances, reached through sudo. ``secrets`` are variables whose values are
    neither kept after the end nor shown. ``script_name`` names the file the command was read from. ``notify_to`` are
    ids of destinations that are told at the end. ``parameters`` are values for those of the saved command it comes
    from, by name. ``is_dry_run``: only what the command needs is tried on each instance; nothing of it is sent.
    """

    command_type: str = CommandType.SHELL
    interpreter: str = ""
    working_directory: str = ""
    timeout_s: int = 600
    max_concurrency: int | str = 50
    max_errors: int | str | None = None
    rollout: Rollout = field(default_factory=Rollout)
    stop_at_cap: bool = False
    script_name: str = ""
    run_as: str = ""
    arguments: tuple[str, ...] = ()
    environment: Variables = ()
    secrets: Variables = field(default=(), repr=False)
    notify_to: tuple[int, ...] = ()
    notify_when: str = NotifyWhen.END
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a command and its instances come from; kept with the run.

    ``choice`` says how the instances were chosen, as ``Choice.as_json`` writes it. The parameters of ``saved_version``
    have their values in ``Options.parameters``.
    """

    choice: Mapping[str, object] = field(default_factory=dict)
    saved_version: SavedCommandVersion | None = None


def send_command(
    actor: User,
    *,
    instances: Sequence[Instance] = (),
    sessions: Sequence[Session] = (),
    command: str,
    request_key: str,
    options: Options | None = None,
    os_user: str = "",
    prompt: Prompt | None = None,
    prompt_keys: Mapping[uuid.UUID, bytes] | None = None,
    remember: bool = False,
    origin: Origin | None = None,
    confirmed_count: int | None = None,
) -> Run:
    """Make a run of a command on instances, or in sessions, in their order, and wake the workers once it is committed.

    1. Policy per instance: those the actor may not send to, disabled ones and those of another operating system are
       ``skipped``; the others go on.
    2. Repeating a ``request_key`` (a double click, a resent form) returns the run already made.
    3. ``os_user`` is who typed it into a shell of the console's machine; it goes into the audit entry.
    4. ``prompt`` is for the instances without a credential, and for this run alone; it is sealed to the workers with
       ``prompt_keys``, by default all that live. With ``remember`` it becomes their credential instead.
    5. Many instances, and those of which somebody said so, are sent to only with ``confirmed_count``: their number as
       a person typed it (confirmation.py). A dry run needs none.
    6. A session that has ended, or is not the actor's to use, is ``skipped``; one that is busy has it wait.
    Raises: RunError for an empty or too long command, no target, or an option out of range; NotAllowed when the
    actor may send commands nowhere.
    """
    options, origin = options or Options(), origin or Origin()
    rules.require_anywhere(actor, Action.SEND_COMMAND)
    filled = _filled(command, options, origin)
    if sessions:
        _validate_for_sessions(filled.command, sessions, options)
        instances = machines_of(sessions)
    targets = sessions or instances
    _validate(filled.command, targets, options, filled)
    if not options.is_dry_run:
        require_confirmed(targets, confirmed_count)
    try:
        with transaction.atomic(), rules.remembered():
            run = _create(actor, targets, filled, request_key, options, origin)
            if prompt is not None and not sessions and (lacking := credentials.without_credential(instances)):
                _check_prompt(prompt, lacking)
                if remember:
                    _remember(actor, prompt, lacking)
                else:
                    _keep_prompt(run, lacking, prompt, prompt_keys)
            record(
                actor,
                "run.send",
                f"run {run.pk}",
                command_sha256=run.command_sha256,
                instances=[instance.pk for instance in instances][:1000],
                count=len(targets),
                **({"sessions": [session.pk for session in sessions][:1000]} if sessions else {}),
                **({"os_user": os_user} if os_user else {}),
                **_details(run),
            )
            transaction.on_commit(lambda: execution_backend().submit(run.pk))
    except IntegrityError:
        return Run.objects.get(actor=actor, request_key=request_key)
    return run


def already_sent(actor: User, request_key: str) -> Run | None:
    """Return the run a form made before, when it is submitted a second time."""
    return Run.objects.filter(actor=actor, request_key=request_key).first() if request_key else None


def require_confirmed(targets: Sequence[Instance | Session], confirmed_count: int | None) -> None:
    """Raise RunError where the number of these targets has to be typed and was not. Side effects: a few queries."""
    asked = confirmation_for(targets)
    if asked is not None and confirmed_count != asked.count:
        wrong = "" if confirmed_count is None else f" You typed {confirmed_count:,}."
        raise RunError("confirmed_count", f"{asked.sentence} Type {asked.count} to confirm.{wrong}")


def normalise(command: str) -> str:
    """Return a command with the line ends a POSIX shell reads; browsers submit text areas with CR LF."""
    return command.replace("\r\n", "\n")


def _filled(command: str, options: Options, origin: Origin) -> Filled:
    try:
        return fill(
            command,
            command_type=options.command_type,
            interpreter=options.interpreter,
            version=origin.saved_version,
            given=options.parameters,
        )
    except ParametersRefused as error:
        raise RunError(error.field, str(error)) from None


def _validate_for_sessions(command: str, sessions: Sequence[Session], options: Options) -> None:
    try:
        check_sessions(sessions)
        check_options(command, options)
    except NotInSessions as error:
        raise RunError("sessions", str(error)) from None


def _validate(command: str, targets: Sequence[Instance | Session], options: Options, filled: Filled) -> None:
    if not command.strip():
        raise RunError("command", "Enter a command.")
    if "\0" in command:
        raise RunError("command", "A command cannot hold a NUL character.")
    limit = settings.MUSTER_SCRIPT_LIMIT_BYTES
    if len(command.encode()) > limit:
        raise RunError("command", f"The command is too long: at most {limit:,} bytes are taken.")
    if not targets:
        raise RunError("ids", "Select at least one instance.")
    if options.command_type not in CommandType.values:
        raise RunError("command_type", "Choose Shell, Bat or PowerShell.")
    for name, what in _LINES.items():
        if not is_line(getattr(options, name)):
            raise RunError(name, f"{what} is one line without control characters.")
    if options.command_type == CommandType.BAT and options.interpreter:
        raise RunError("interpreter", "cmd.exe runs Bat: leave the interpreter empty.")
    if not 1 <= options.timeout_s <= MAX_TIMEOUT_S:
        raise RunError("timeout_s", TIMEOUT_RULE)
    _plan(options, len(targets))
    _validate_surroundings(options, filled)


def _plan(options: Options, total: int) -> rate.Plan:
    try:
        return rate.plan(
            options.rollout,
            max_concurrency=options.max_concurrency,
            max_errors=options.max_errors,
            total=total,
        )
    except RateRefused as error:
        raise RunError(error.field, str(error)) from None


def _validate_surroundings(options: Options, filled: Filled) -> None:
    if options.run_as:
        try:
            check_user_name(options.run_as)
        except ValidationError as error:
            raise RunError("run_as", " ".join(error.messages)) from None
    is_shell = options.command_type == CommandType.SHELL
    if options.run_as and not is_shell:
        raise RunError("run_as", "Only Shell commands can run as another user.")
    if options.arguments and not is_shell:
        raise RunError("arguments", "Only Shell commands take arguments.")
    if options.command_type == CommandType.BAT:
        _validate_for_bat(options)
    try:
        check((*options.environment, *filled.variables), (*options.secrets, *filled.secrets), options.arguments)
    except VariablesRefused as error:
        raise RunError(error.field, str(error)) from None


def _validate_for_bat(options: Options) -> None:
    for field_name, pairs in (("environment", options.environment), ("secret_environment", options.secrets)):
        for name, value in pairs:
            if not is_bat_value(value):
                raise RunError(field_name, f"{name}: {BAT_RULE}")


def _details(run: Run) -> dict[str, object]:
    """Return what the audit says besides: of variables and parameters the names."""
    details = {
        "prompted_user_name": run.prompted_user_name if run.prompt_holders else "",
        "run_as": run.run_as,
        "script_name": run.script_name,
        "arguments": run.arguments,
        "variables": [name for name, _ in run.environment],
        "secret_variables": run.secret_variables,
        "rollout": run.rollout,
        "parameters": list(run.parameters),
        "saved_command": str(run.saved_version or ""),
        "dry_run": run.is_dry_run,
    }
    return {name: value for name, value in details.items() if value}


def _create(
    actor: User,
    targets: Sequence[Instance | Session],
    filled: Filled,
    request_key: str,
    options: Options,
    origin: Origin,
) -> Run:
    refusal_of = refusal_by(actor, options.command_type)
    refusals = [refusal_of(target) for target in targets]
    plan = _plan(options, refusals.count(None))
    command, secrets = filled.command, (*options.secrets, *filled.secrets)
    run = Run.objects.create(
        actor=actor,
        actor_name=actor.get_username(),
        command=command,
        command_sha256=hashlib.sha256(command.encode()).hexdigest(),
        request_key=request_key,
        command_type=options.command_type,
        interpreter=options.interpreter,
        working_directory=options.working_directory,
        timeout_s=options.timeout_s,
        max_concurrency=plan.max_concurrency,
        max_errors=plan.max_errors,
        rollout=plan.rollout.as_json(),
        batch_count=len(plan.sizes),
        open_before=gates.first_open_before(plan, refusals),
        stop_at_cap=options.stop_at_cap,
        script_name=options.script_name[:255],
        run_as=options.run_as,
        arguments=list(options.arguments),
        environment=[list(pair) for pair in options.environment],
        secret_names=[name for name, _ in secrets],
        notify_to=list(options.notify_to),
        notify_when=options.notify_when,
        notify_state=NotifyState.WANTED if options.notify_to else NotifyState.NOBODY,
        choice=choice_of(targets) or dict(origin.choice),
        saved_version=origin.saved_version,
        parameters=dict(filled.kept),
        attributes=[list(attribute) for attribute in filled.attributes],
        is_dry_run=options.is_dry_run,
        target_count=len(targets),
        revision=1,
    )
    if not run.is_dry_run:
        run_secrets.keep(run, secrets)
    batches = plan.batch_numbers()
    Invocation.objects.bulk_create(
        (
            _invocation(run, ordinal, target, refusal, None if refusal else next(batches))
            for ordinal, (target, refusal) in enumerate(zip(targets, refusals, strict=True))
        ),
        batch_size=500,
    )
    queue.refresh_counts(run)
    return run


def _check_prompt(prompt: Prompt, lacking: Sequence[Instance]) -> None:
    if not prompt.user_name and any(not instance.user_name for instance in lacking):
        raise RunError("prompt_user", "Enter the user name: not every instance has one of its own.")
    if prompt.user_name:
        _check_user_name(prompt.user_name)
    if not prompt.password or any(character in prompt.password for character in "\0\r\n"):
        raise RunError("prompt_password", "A password is one line of text.")


def _remember(actor: User, prompt: Prompt, lacking: Sequence[Instance]) -> None:
    user_name = prompt.user_name or lacking[0].user_name
    name = credentials.free_name(f"{user_name} on {lacking[0].name}")
    kept = credentials.add_credential(actor, name=name, kind="password", user_name=user_name, secret=prompt.password)
    credentials.attach(actor, credential=kept, instances=lacking)


def _keep_prompt(run: Run, lacking: Sequence[Instance], prompt: Prompt, keys: Mapping[uuid.UUID, bytes] | None) -> None:
    keys = prompts.living_keys() if keys is None else keys
    if not keys:
        raise RunError("prompt_password", "No worker runs that could take the password. Try again in a moment.")
    prompts.seal_for_run(run, prompt, keys)
    ids = [instance.pk for instance in lacking]
    for start in range(0, len(ids), 5000):
        run.invocations.filter(instance__in=ids[start : start + 5000]).update(is_prompted=True)


def _check_user_name(user_name: str) -> None:
    try:
        check_user_name(user_name)
    except ValidationError as error:
        raise RunError("prompt_user", " ".join(error.messages)) from None


def _invocation(
    run: Run, ordinal: int, target: Instance | Session, refusal: tuple[str, str] | None, batch: int | None
) -> Invocation:
    invocation = Invocation(run=run, ordinal=ordinal, batch=batch, revision=1)
    if isinstance(target, Session):
        invocation.session, invocation.instance = target, target.instance
        invocation.instance_name, invocation.address = target.instance_name, target.address
    else:
        invocation.instance, invocation.instance_name = target, target.name
        invocation.address = f"{target.address}:{target.port}"
    if refusal:
        invocation.status = Status.SKIPPED
        invocation.reason, invocation.message = refusal
        invocation.finished_at = timezone.now()
    return invocation


# ------------------------------------------------------------------ what one may see


def visible_runs(user: User) -> QuerySet[Run]:
    """Return the runs a user may see: those with at least one invocation on an instance in a visible group."""
    scope = rules.scope(user, Action.VIEW, field="instance__group")
    if not scope:
        return Run.objects.all()
    # Run by run: as a list it would be read through for every run that is opened.
    return Run.objects.filter(Exists(Invocation.objects.filter(scope, run=OuterRef("pk"))))


def sendable_versions(user: User) -> QuerySet[SavedCommandVersion]:
    """Return the versions of saved commands a user may send: of those he sees, and of runs he sees and may repeat."""
    sent = visible_runs(user).filter(saved_version=OuterRef("pk")).order_by()
    return SavedCommandVersion.objects.select_related("saved").filter(
        Q(saved__in=saved_commands.visible(user)) | Q(Exists(sent))
    )


def visible_invocations(user: User, run: Run) -> QuerySet[Invocation]:
    """Return the invocations of a run a user may see, in order."""
    return run.invocations.filter(rules.scope(user, Action.VIEW, field="instance__group")).order_by("ordinal")
