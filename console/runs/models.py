"""Owns runs, their invocations, the output log and the leases of the workers that hold them."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from console.runs.rate import EVERYTHING, Gate
from console.runs.status import ACTIVE, UNFINISHED, RunStatus, Status
from console.saved_commands.places import variable_of
from console.sessions.models import Session
from instances.engine.text import WEB_NAMES, letters_of


class CommandType(models.TextChoices):
    """The language a command is written in."""

    SHELL = "shell", "Shell"
    BAT = "bat", "Bat"
    POWERSHELL = "powershell", "PowerShell"


class Recheck(models.TextChoices):
    """What may still be asked of an invocation whose outcome is unknown."""

    LOOK = "look", "Check again"
    STOP = "stop", "Stop what is left"


class NotifyWhen(models.TextChoices):
    """When a run's destinations are told."""

    END = "end", "When it has ended"
    FAILURES = "failures", "Only if not all succeeded"


class NotifyState(models.TextChoices):
    """Whether a run is still to be told about."""

    NOBODY = "", "Nobody is told"
    WANTED = "wanted", "Told at the end"
    DONE = "done", "Told"


class Run(models.Model):
    """One Send Command: what was sent, by whom, and with which limits. Its targets are its invocations.

    ``counts`` holds invocations per status and ``status`` what they come to; both are kept by whoever writes
    statuses, in the same transaction. ``revision`` rises with every such transaction: viewers ask for what is newer
    than the revision they have.
    """

    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="runs")
    actor_name = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    command_type = models.CharField(max_length=12, choices=CommandType.choices, default=CommandType.SHELL)
    command = models.TextField()
    command_sha256 = models.CharField(max_length=64)
    interpreter = models.CharField(max_length=255, blank=True)
    working_directory = models.CharField(max_length=1024, blank=True)
    # The name of the file the command came from; command_sha256 says what was in it.
    script_name = models.CharField(max_length=255, blank=True)
    run_as = models.CharField(max_length=64, blank=True)
    arguments = models.JSONField(default=list, blank=True)
    # [name, value] in order; of secret ones the names are kept.
    environment = models.JSONField(default=list, blank=True)
    secret_names = models.JSONField(default=list, blank=True)
    timeout_s = models.PositiveIntegerField(default=600)
    max_concurrency = models.PositiveIntegerField(default=50)
    max_errors = models.PositiveIntegerField(null=True, blank=True)
    # How it goes through its instances, as console/runs/rate.py writes it, and where it is: the batch at work or next,
    # from 0; the ordinal from which on nothing may be started yet; what stands before the batch, and until when.
    rollout = models.JSONField(default=dict, blank=True)
    batch_count = models.PositiveIntegerField(default=1)
    batch = models.PositiveIntegerField(default=0)
    open_before = models.PositiveIntegerField(default=EVERYTHING)
    gate = models.CharField(max_length=5, choices=[(gate.value, gate.name) for gate in Gate], blank=True)
    gate_until = models.DateTimeField(null=True, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_by = models.CharField(max_length=150, blank=True)
    # Else it goes on beyond the output cap, and what is not kept is counted.
    stop_at_cap = models.BooleanField(default=False)
    # The exact version of the saved command it was made from, and the values given for its parameters by name; of
    # secret ones null.
    saved_version = models.ForeignKey(
        "SavedCommandVersion", null=True, blank=True, on_delete=models.SET_NULL, related_name="runs"
    )
    parameters = models.JSONField(default=dict, blank=True)
    # [variable, attribute of the instance, whether it must be there]: looked up for each instance when it starts.
    attributes = models.JSONField(default=list, blank=True)
    # How its instances were chosen, as console/runs/choice.py writes it; which they were is in its invocations.
    choice = models.JSONField(default=dict, blank=True)
    # Only what the command needs was tried; nothing of it was sent to an instance.
    is_dry_run = models.BooleanField(default=False)
    # A password was entered for this run alone: the workers it was sealed to, and the user name given with it.
    prompt_holders = models.JSONField(default=list, blank=True)
    prompted_user_name = models.CharField(max_length=64, blank=True)
    # Ids of the destinations that are told at its end.
    notify_to = models.JSONField(default=list, blank=True)
    notify_when = models.CharField(max_length=8, choices=NotifyWhen.choices, default=NotifyWhen.END)
    notify_state = models.CharField(max_length=6, choices=NotifyState.choices, default=NotifyState.NOBODY, blank=True)
    # Given by the form when it is drawn, so that a double click or a repeated POST makes one run.
    request_key = models.CharField(max_length=64)
    stop_requested_at = models.DateTimeField(null=True, blank=True)
    stop_requested_by = models.CharField(max_length=150, blank=True)
    status = models.CharField(max_length=10, choices=[(s, s) for s in RunStatus], default=RunStatus.QUEUED)
    counts = models.JSONField(default=dict)
    target_count = models.PositiveIntegerField(default=0)
    error_count = models.PositiveIntegerField(default=0)
    revision = models.PositiveBigIntegerField(default=0)
    # When its command and outputs were read into the index of words; null while that is still to be done.
    indexed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-pk",)
        constraints = (models.UniqueConstraint(fields=("actor", "request_key"), name="a_request_makes_one_run"),)
        indexes = (
            models.Index(fields=("status", "-id")),
            models.Index(fields=("actor_name", "-id")),
            models.Index(
                fields=("finished_at",), name="runs_to_tell_about", condition=Q(notify_state=NotifyState.WANTED)
            ),
            # Earlier runs of the same command.
            models.Index(fields=("command_sha256", "-id")),
            models.Index(
                fields=("id",), name="runs_to_index", condition=Q(finished_at__isnull=False, indexed_at__isnull=True)
            ),
        )

    # The name of the saved command it was made from, in lists for those who may see it (history.name_saved).
    saved_name: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether every invocation has an end status."""
        return self.finished_at is not None

    @property
    def is_in_sessions(self) -> bool:
        """Whether it was sent to sessions rather than to instances."""
        return bool(self.choice.get("sessions"))

    @property
    def secret_variables(self) -> list[str]:
        """The names of its secret variables, without those that carry a secret parameter."""
        hidden = {variable_of(name) for name, value in self.parameters.items() if value is None}
        return [name for name in self.secret_names if name not in hidden]

    @property
    def title(self) -> str:
        """The first line of the command that says something."""
        lines = (line.strip() for line in self.command.splitlines())
        return next((line for line in lines if line and not line.startswith("#!")), self.command.strip())[:200]


class RunSecrets(models.Model):
    """The values of a run's secret variables, sealed, until it has ended; then the row is removed."""

    run = models.OneToOneField(Run, on_delete=models.CASCADE, primary_key=True, related_name="secrets")
    sealed = models.BinaryField()


class WorkerLease(models.Model):
    """A worker process and the promise that it is alive.

    ``expires_ns`` is on CLOCK_BOOTTIME of the boot named in ``boot_id``: no wall clock, so a clock that jumps
    neither kills nor revives a worker. The worker also holds a lock on a file named after ``id``; a lock that can be
    taken proves it dead at once. ``public_key``: what is sealed to it opens in this worker's memory alone.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    process_id = models.PositiveIntegerField()
    boot_id = models.CharField(max_length=40)
    expires_ns = models.BigIntegerField()
    started_at = models.DateTimeField(auto_now_add=True)
    public_key = models.BinaryField(default=bytes)


class PromptedPassword(models.Model):
    """A password entered for one run, in a box that one worker opens; deleted when that worker claims from the run."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="+")
    worker = models.UUIDField()
    box = models.BinaryField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("run", "worker"), name="a_prompt_once_per_run_and_worker"),)


# Ended invocations of which output is stored.
STORED_OUTPUT = Q(finished_at__isnull=False) & (Q(stdout_bytes__gt=0) | Q(stderr_bytes__gt=0))


class Invocation(models.Model):
    """A run on one instance, from ``queued`` to its end status.

    ``ordinal`` is its place in the run, from 0. ``fence`` rises with every claim: a writer whose fence is older than
    the row's no longer owns it and changes nothing. ``marker`` is new for every attempt and is what Stop looks for
    on the host. Name and address are copied, so that the history outlives the instance.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="invocations")
    ordinal = models.PositiveIntegerField()
    instance = models.ForeignKey("instances.Instance", null=True, on_delete=models.SET_NULL, related_name="invocations")
    instance_name = models.CharField(max_length=80)
    address = models.CharField(max_length=320)
    # The kept shell it is sent to; null when it has a shell of its own.
    session = models.ForeignKey(
        Session, null=True, blank=True, on_delete=models.SET_NULL, related_name="invocations", db_index=False
    )

    status = models.CharField(max_length=12, choices=[(s, s) for s in Status], default=Status.QUEUED)
    reason = models.CharField(max_length=40, blank=True)
    message = models.CharField(max_length=1000, blank=True)
    exit_status = models.IntegerField(null=True, blank=True)
    exit_signal = models.CharField(max_length=20, blank=True)
    # It had no credential when the command was sent, and the one entered for the run is for it.
    is_prompted = models.BooleanField(default=False)
    attempt = models.PositiveIntegerField(default=0)
    # Of a queued one that could not be reached: no worker takes it before then.
    retry_at = models.DateTimeField(null=True, blank=True)
    # Of its run's batches, from 0; null when it was skipped from the start, and in runs from before there were any.
    batch = models.PositiveIntegerField(null=True, blank=True)
    marker = models.UUIDField(null=True, blank=True)
    remote_pid = models.PositiveBigIntegerField(null=True, blank=True)
    remote_started = models.CharField(max_length=40, blank=True)
    # Of a Windows instance: what of its output is no UTF-8 is shown in this OEM code page.
    code_page = models.CharField(max_length=10, blank=True)
    start_sent_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    stop_requested_at = models.DateTimeField(null=True, blank=True)
    stop_requested_by = models.CharField(max_length=150, blank=True)

    # Asked of a lost one: look what is left of it, or stop that. Emptied by the worker that takes it up.
    recheck = models.CharField(max_length=4, choices=Recheck.choices, blank=True)

    owner = models.UUIDField(null=True, blank=True)
    fence = models.PositiveIntegerField(default=0)
    revision = models.PositiveBigIntegerField(default=0)

    # Offsets are the log's own: `size` counts all that was logged, dropped bytes too, and stays when retention removes
    # the output. The bytes per stream are what is stored; they come down to 0 as it is removed, a part at a time.
    size = models.PositiveBigIntegerField(default=0)
    stdout_bytes = models.PositiveBigIntegerField(default=0)
    stderr_bytes = models.PositiveBigIntegerField(default=0)
    dropped_bytes = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    stdout_sha256 = models.CharField(max_length=64, blank=True)
    stderr_sha256 = models.CharField(max_length=64, blank=True)
    last_line = models.CharField(max_length=200, blank=True)
    # Set with the first part that is removed: from then on readers show none of it.
    output_removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("run_id", "ordinal")
        constraints = (models.UniqueConstraint(fields=("run", "ordinal"), name="an_ordinal_once_per_run"),)
        indexes = (
            models.Index(fields=("run", "status")),
            models.Index(fields=("run", "revision")),
            # Newest first on one instance; with the run, so that many instances lead to theirs from the index alone.
            models.Index(fields=("instance", "-run"), name="runs_of_an_instance"),
            # What people look for in the history: few rows each, and none of what went well. With the instance, which
            # is asked for beside it.
            models.Index(fields=("reason", "-run", "instance"), name="invocations_by_reason", condition=~Q(reason="")),
            models.Index(
                fields=("exit_status", "-run", "instance"),
                name="invocations_by_exit_status",
                condition=Q(exit_status__isnull=False) & ~Q(exit_status=0),
            ),
            models.Index(
                fields=("session", "-id"), name="invocations_of_a_session", condition=Q(session__isnull=False)
            ),
            # Whose turn it is in a session.
            models.Index(
                fields=("session", "id"),
                name="turns_in_a_session",
                condition=Q(session__isnull=False, status__in=sorted(UNFINISHED)),
            ),
            # What workers look for; partial, so that a long history costs them nothing.
            models.Index(fields=("run", "ordinal"), name="queued_invocations", condition=Q(status=Status.QUEUED)),
            models.Index(fields=("instance",), name="recheck_invocations", condition=~Q(recheck="")),
            models.Index(fields=("owner",), name="active_invocations", condition=Q(status__in=sorted(ACTIVE))),
            # What retention adds up, from the index alone (hence finished_at). Only ended ones: one that still writes
            # would change it at every commit.
            models.Index(
                fields=("run", "stdout_bytes", "stderr_bytes", "finished_at"),
                name="stored_output",
                condition=STORED_OUTPUT,
            ),
        )

    @property
    def took_s(self) -> float | None:
        """Seconds from the start on the instance to the end, or until now; None when it never started."""
        if self.started_at is None:
            return None
        return ((self.finished_at or timezone.now()) - self.started_at).total_seconds()

    @property
    def letters(self) -> str:
        """The letters of the bytes 128 to 255 in its OEM code page, for the browser."""
        return letters_of(self.code_page)

    @property
    def encoding(self) -> str:
        """What browsers call its OEM code page, if that has more than 256 letters."""
        return WEB_NAMES.get(self.code_page, "")

    @property
    def is_active(self) -> bool:
        """Whether a worker holds it."""
        return self.status in ACTIVE


class OutputKind(models.IntegerChoices):
    """What a row of the output log holds."""

    STDOUT = 1
    STDERR = 2
    GAP = 3


class Output(models.Model):
    """A piece of an invocation's output.

    ``offset`` counts both streams together in order of arrival and is contiguous within an invocation; a gap row
    holds the decimal count of bytes that were not kept. Readers go by (invocation, offset), never by insertion.
    """

    pk = models.CompositePrimaryKey("invocation_id", "offset")
    invocation = models.ForeignKey(Invocation, on_delete=models.CASCADE, related_name="output", db_index=False)
    offset = models.PositiveBigIntegerField()
    kind = models.PositiveSmallIntegerField(choices=OutputKind.choices)
    stream_offset = models.PositiveBigIntegerField()
    data = models.BinaryField()
    at = models.DateTimeField()

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(offset__gte=0) & Q(stream_offset__gte=0), name="offsets_are_positive"),
        )
