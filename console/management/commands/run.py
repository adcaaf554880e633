"""``manage.py run``: send a command from a shell and show it there until it has ended."""

import asyncio
import getpass
import os
import signal
import sys
import uuid
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn, cast

import uvloop
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandParser
from django.db import connection

from console.management.commands.worker import raise_file_limit
from console.management.saved import parameter_values, saved_version, text_of
from console.members.models import User
from console.members.services import shell_actor
from console.notifications.services import usable
from console.runs import queue, services
from console.runs.choice import Choice, chosen
from console.runs.confirmation import confirmation_for, plain_number
from console.runs.models import CommandType, NotifyWhen, Run
from console.runs.prompts import Prompt, Prompts
from console.runs.rate import Rollout
from console.runs.script_files import NotAScript, read_script
from console.runs.terminal_follow import Follower, LeftRunning
from console.runs.terminal_view import INTERRUPTED, TerminalView
from console.sessions.models import Session
from console.supervisor import fail
from console.worker.worker import Worker
from instances.access.rules import Action, NotAllowed, scope, visible_groups
from instances.credentials.models import Credential
from instances.credentials.services import without_credential
from instances.inventory.errors import InventoryError
from instances.inventory.models import Instance
from instances.inventory.services import adhoc_instance

DEFAULTS = services.Options()
# The limits are options of their own.
_ROLLOUT = [field for field in fields(Rollout) if field.name not in {"max_concurrency", "max_errors"}]


class Command(BaseCommand):
    """Send a command; its output, end and exit status come out here."""

    help = "Send a command to instances and show its output; the exit status is the command's own."
    script_arguments: Sequence[str] = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("text", metavar="TEXT", nargs="?", help="The command; - reads it from standard input.")
        parser.add_argument("--file", metavar="F", help="Read the command from a file.")
        parser.add_argument("--run-as", metavar="USER", default="", help="Run it as another user, through sudo -n.")
        parser.add_argument("--env", metavar="NAME=VALUE", action="append", default=[], help="A variable for it.")
        parser.add_argument(
            "--secret-env",
            metavar="NAME",
            action="append",
            default=[],
            help="A secret variable: its value is this shell's, or is asked for on the terminal.",
        )
        parser.add_argument("--saved", metavar="NAME[@VERSION]", help="A saved command, by default its last version.")
        parser.add_argument(
            "--param", metavar="NAME=VALUE", action="append", default=[], help="A value for a parameter of it."
        )
        parser.add_argument("--on", metavar="NAME", action="append", default=[], help="An instance, user@host, or .")
        parser.add_argument(
            "--credential", metavar="NAME", help="What a user@host not in the list is signed in to with."
        )
        parser.add_argument("--filter", metavar="Q", help="All instances that match a filter, such as env:prod.")
        parser.add_argument("--group", metavar="NAME", help="All instances of a group.")
        parser.add_argument("--names", metavar="NAMES", help="Names, addresses and ranges: web[01-12,20] !web03.")
        parser.add_argument("--failed-in", metavar="N", help="The instances on which run N failed.")
        parser.add_argument("--all", action="store_true", help="Every instance you may see.")
        parser.add_argument("--yes-to", metavar="N", type=int, help="Confirm that it goes to N instances.")
        parser.add_argument("--dry-run", action="store_true", help="Try what it needs on each instance; run nothing.")
        parser.add_argument(
            "--type", choices=CommandType.values, help="Of the command; shell, if not given, or that of the saved one."
        )
        parser.add_argument(
            "--interpreter", metavar="PROGRAM", default="", help="What runs it, such as python3 or pwsh."
        )
        parser.add_argument("--timeout", metavar="S", type=int, default=DEFAULTS.timeout_s)
        parser.add_argument("--max-concurrency", metavar="N", default=DEFAULTS.max_concurrency)
        parser.add_argument("--max-errors", metavar="N", default=None)
        _add_rollout_arguments(parser)
        parser.add_argument(
            "--stop-at-cap", action="store_true", help="Stop it where its output exceeds MUSTER_OUTPUT_CAP."
        )
        parser.add_argument(
            "--notify", metavar="NAME", action="append", default=[], help="A destination that is told at the end."
        )
        parser.add_argument("--notify-when", choices=NotifyWhen.values, default=NotifyWhen.END)
        parser.add_argument("--json", action="store_true", help="One JSON object per line.")
        parser.add_argument("--as", dest="user", metavar="USER", default="", help="Act as this member.")

    def run_from_argv(self, argv: list[str]) -> None:
        """Keep what stands behind ``--``: options and arguments of the script are none of this command."""
        if "--" in argv:
            place = argv.index("--")
            argv, self.script_arguments = argv[:place], argv[place + 1 :]
        super().run_from_argv(argv)

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and end with the command's exit status."""
        try:
            actor = shell_actor(options["user"])
            prompts = Prompts()
            words = list(self.script_arguments)
            if options["saved"] is not None and (options["text"], options["file"]) != (None, None):
                fail("Give a command or --saved, not both.")
            if options["text"] is None and options["file"] is None and options["saved"] is None and words:
                # A command that begins with a dash.
                options["text"] = words.pop(0)
            run = _send(actor, options, prompts, tuple(words))
        except ValidationError as error:
            fail(" ".join(error.messages))
        except (InventoryError, NotAllowed, services.RunError, NotAScript, OSError, UnicodeError) as error:
            fail(error)
        show_to_its_end(actor, run, prompts, as_json=options["json"])


def show_to_its_end(actor: User, run: Run, prompts: Prompts, *, as_json: bool) -> NoReturn:
    """Show a run, pass Ctrl+C on as Stop, and end with its exit status."""
    view = TerminalView(run, stdout=sys.stdout.buffer, stderr=sys.stderr.buffer, as_json=as_json)
    status = uvloop.run(_follow(actor, run, view, prompts))
    if view.is_broken:
        # Python would complain about the closed pipe once more while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def _send(actor: User, options: dict[str, Any], prompts: Prompts, arguments: tuple[str, ...]) -> Run:
    choices = _choices(actor, options)
    instances = _instances(actor, options["on"], choices, options["credential"])
    version = None if options["saved"] is None else saved_version(actor, options["saved"])
    command_type = options["type"] or (version.command_type if version else DEFAULTS.command_type)
    if version is None and options["param"]:
        fail("--param is for a saved command: name it with --saved.")
    return services.send_command(
        actor,
        instances=instances,
        confirmed_count=confirmed(instances, options),
        # Of several together there is no saying in words; the list is kept either way.
        origin=services.Origin(
            choice=choices[0].as_json() if len(choices) == 1 and not options["on"] else {}, saved_version=version
        ),
        prompt=_prompt(instances),
        # Where no worker lives this command becomes one.
        prompt_keys=None if queue.a_worker_is_alive() else {prompts.worker_id: prompts.public_key},
        command=text_of(version, command_type) if version else command_text(options["text"], options["file"]),
        request_key=uuid.uuid4().hex,
        options=services.Options(
            command_type=command_type,
            interpreter=options["interpreter"].strip()
            or (str(version.options.get("interpreter", "")) if version else ""),
            timeout_s=options["timeout"],
            max_concurrency=options["max_concurrency"],
            max_errors=options["max_errors"],
            rollout=Rollout(**{field.name: options[field.name] for field in _ROLLOUT}),
            stop_at_cap=options["stop_at_cap"],
            script_name=Path(options["file"]).name if options["file"] else "",
            run_as=options["run_as"],
            arguments=arguments,
            environment=tuple(map(_variable, options["env"])),
            secrets=tuple((name, _secret(name)) for name in options["secret_env"]),
            notify_to=_destinations(options["notify"]),
            notify_when=options["notify_when"],
            parameters=parameter_values(version, options["param"]) if version else {},
            is_dry_run=options["dry_run"],
        ),
        os_user=os_user(),
    )


def _destinations(names: Sequence[str]) -> tuple[int, ...]:
    found = dict(usable().filter(name__in=names).values_list("name", "pk"))
    if missing := [name for name in names if name not in found]:
        fail(f"There is no destination {missing[0]} in use.")
    return tuple(found.values())


def _add_rollout_arguments(parser: CommandParser) -> None:
    group = parser.add_argument_group("rollout", "N is a number of instances, or a percentage of them.")
    group.add_argument("--ignore-unreachable", action="store_true", help="Those that cannot be reached are no errors.")
    group.add_argument("--first", metavar="N", default="", help="First on so many; then somebody is asked.")
    group.add_argument("--batch", dest="batch_size", metavar="N", default="", help="The others in batches.")
    group.add_argument("--pause", dest="batch_pause_s", metavar="S", type=int, default=0, help="Between batches.")
    group.add_argument("--ask-between", action="store_true", help="Ask after every batch.")
    group.add_argument("--ask-unless-ok", action="store_true", help="Ask only when not all of a batch succeeded.")
    group.add_argument("--attempts", dest="connect_attempts", metavar="N", type=int, default=1, help="To connect.")
    group.add_argument("--attempt-delay", dest="connect_delay_s", metavar="S", type=int, default=10, help="Between.")


def _prompt(instances: list[Instance]) -> Prompt | None:
    """Ask on the terminal for what instances without a credential are signed in to with; elsewhere nobody is asked."""
    lacking = without_credential(instances)
    if not lacking or not sys.stdin.isatty():
        return None
    names = ", ".join(instance.name for instance in lacking[:5]) + (", …" if len(lacking) > 5 else "")
    _say(f"No credential for {names}: what you enter is used for this run alone.")
    try:
        user_name = "" if all(instance.user_name for instance in lacking) else input("User name: ").strip()
        return Prompt(user_name, getpass.getpass())
    except (EOFError, KeyboardInterrupt):
        fail("Nothing was sent.")


def command_text(text: str | None, file: str | None) -> str:
    """Return the command; ends the program where it is given twice, or not at all. Raises: NotAScript, OSError."""
    if (text is None) == (file is None):
        fail("Give the command once: as TEXT, with --file F, or - to read it from standard input.")
    if file is not None:
        return read_script(Path(file).read_bytes())
    return sys.stdin.read() if text == "-" else str(text)


def _variable(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        fail(f"--env takes NAME=VALUE. Write --secret-env {name} for a value that is to stay secret.")
    return name, value


def _secret(name: str) -> str:
    """Return the value from this shell's environment, or ask: a process list shows arguments to everybody."""
    if "=" in name:
        fail("--secret-env takes a name alone: the value is this shell's variable of that name, or is asked for.")
    if name in os.environ:
        return os.environ[name]
    if not sys.stdin.isatty():
        fail(f"--secret-env {name}: set it in this shell, or run this on a terminal to be asked for it.")
    return getpass.getpass(f"{name}: ")


def _choices(actor: User, options: dict[str, Any]) -> list[Choice]:
    """Return what the options choose besides ``--on``; an empty filter is none of everything."""
    choices = []
    if options["filter"] is not None:
        choices.append(Choice(by_query=True, query=options["filter"]))
    if options["group"] is not None:
        group = visible_groups(actor).filter(name__iexact=options["group"]).first()
        if group is None:
            fail(f"There is no group {options['group']}.")
        choices.append(Choice(by_query=True, group=str(group.pk)))
    if options["names"] is not None:
        choices.append(Choice(names=options["names"] or " "))
    if options["failed_in"] is not None:
        choices.append(Choice(run=options["failed_in"] or " ", which="failed"))
    if options["all"]:
        choices.append(Choice(by_query=True, everything=True))
    return choices


def confirmed(instances: Sequence[Instance | Session], options: dict[str, Any]) -> int | None:
    """Return the number that was typed, with ``--yes-to`` or on the terminal; elsewhere nobody is asked."""
    asked = None if options["dry_run"] else confirmation_for(instances)
    if asked is None or options["yes_to"] is not None or not sys.stdin.isatty():
        return cast("int | None", options["yes_to"])
    _say(asked.sentence)
    try:
        typed = plain_number(input("Type their number to confirm: ").strip())
    except (EOFError, KeyboardInterrupt):
        fail("Nothing was sent.")
    return int(typed) if typed.isascii() and typed.isdigit() else None


def _instances(actor: User, names: list[str], choices: list[Choice], credential_name: str | None) -> list[Instance]:
    credential = None if credential_name is None else _credential(credential_name)
    found = [_instance(actor, name, credential) for name in names]
    if credential is not None and not any(instance.is_adhoc and not instance.is_local for instance in found):
        fail("--credential is for a user@host that is not in the list.")
    for choice in choices:
        found += chosen(actor, choice)
    if not found:
        fail("No instance was named: use --on NAME, --names, or a --filter that matches one.")
    return list({instance.pk: instance for instance in found}.values())


def _credential(name: str) -> Credential:
    found = Credential.objects.filter(name=name).first()
    if found is None:
        fail(f"There is no credential {name}.")
    return found


def _instance(actor: User, name: str, credential: Credential | None) -> Instance:
    visible = Instance.objects.filter(scope(actor, Action.VIEW), name=name, is_adhoc=False)
    found = visible.select_related("group").first()
    if found is not None:
        return found
    if "@" not in name and name not in {".", "localhost"}:
        fail(f"There is no instance {name}. Write user@host for one that is not in the list.")
    if "@" not in name:
        return adhoc_instance(actor, address=name)
    typed = adhoc_instance(actor, address=name, credential=credential)
    if credential is not None and typed.credential_id != credential.pk:
        fail(f"{name} is in the list as {typed.name}: it is signed in to with the credential it has there.")
    return typed


def os_user() -> str:
    """Return who is at the shell: the name, or the number where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


async def _follow(actor: User, run: Run, view: TerminalView, prompts: Prompts) -> int:
    """Show the run; without a living worker be one, for this run alone."""
    loop = asyncio.get_running_loop()
    follower = Follower(actor, run, view, say=_say)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, follower.interrupt)
    try:
        if await asyncio.to_thread(_a_worker_is_alive):
            return await follower.follow()
        raise_file_limit()
        return await _follow_and_work(follower, Worker(run_id=run.pk, prompts=prompts))
    except* LeftRunning:
        _say(f"Run {run.pk} was asked to stop but may still be running. The console shows how it ends.")
    return INTERRUPTED


async def _follow_and_work(follower: Follower, worker: Worker) -> int:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.run())
        status = await follower.follow()
        worker.drain()
    return status


def _a_worker_is_alive() -> bool:
    try:
        return queue.a_worker_is_alive()
    finally:
        connection.close()


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()
