"""Owns who holds which invocation: claims under a run's limits, leases of workers, and what dead ones left behind.

Everything here is a short transaction of its own, called from a worker's database thread.
"""

import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from django.db import connection, transaction
from django.db.models import Count, F, Q, QuerySet
from django.utils import timezone

from console.literals import literal
from console.runs import gates, lease_file, prompts, rate, run_secrets, turns
from console.runs.models import Invocation, Recheck, Run, WorkerLease
from console.runs.rate import Gate, Rollout
from console.runs.status import ACTIVE, ENDED_RUN, Status, roll_up
from instances.access import rules

LEASE_S = 15.0
RENEW_S = 5.0


@dataclass(frozen=True, slots=True)
class Claim:
    """An invocation this worker now owns; writes about it count only under this fence."""

    invocation_id: int
    run_id: int
    instance_id: int | None
    fence: int
    attempt: int
    is_prompted: bool = False
    session_id: int | None = None


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """What reaping a dead worker did. Units: numbers of invocations."""

    requeued: int = 0
    lost: int = 0


# ------------------------------------------------------------------ claims


def claim(worker_id: uuid.UUID, *, slots: int, run_id: int | None = None) -> list[Claim]:
    """Take up to ``slots`` queued invocations, oldest run first, never more than any run's limits allow.

    With ``run_id`` those of that run alone.

    Exact across workers: the run's active rows are counted and its next ones taken under one write lock, and none
    beyond the gate before its next batch. What is sent to a session is taken by the worker that holds it, one at a
    time. A run whose errors exceed ``max_errors`` has the rest skipped; so has one whose sender may no longer send. A
    worker that was taken for dead gets nothing until it has enlisted again: what it took would be reaped while it runs.
    """
    waiting_for_me = _waiting(worker_id, run_id)
    if slots < 1 or not waiting_for_me.exists():
        return []
    claims: list[Claim] = []
    with transaction.atomic():
        if not WorkerLease.objects.filter(pk=worker_id).exists():
            return []
        waiting = list(waiting_for_me.order_by("pk").select_for_update(of=("self",)).select_related("actor"))
        # Each an equal share, so that one large run does not keep a small one waiting.
        fair = max(1, slots // max(1, len(waiting)))
        may_take_more = []
        for run in waiting:
            share = min(fair, slots - len(claims))
            taken = _claim_of_run(worker_id, run, share)
            claims += taken
            if len(taken) == share:
                may_take_more.append(run)
        # What some runs left unused goes to the others.
        for run in may_take_more:
            claims += _claim_of_run(worker_id, run, slots - len(claims))
    return claims


def _waiting(worker_id: uuid.UUID, run_id: int | None) -> QuerySet[Run]:
    # From the few runs in progress to their rows, never over the whole history.
    going = gates.open_runs(timezone.now(), _queued_for(worker_id))
    return going if run_id is None else going.filter(pk=run_id)


def _queued_for(worker_id: uuid.UUID) -> QuerySet[Invocation]:
    return Invocation.objects.filter(turns.startable_by(worker_id), status=literal(Status.QUEUED))


def _claim_of_run(worker_id: uuid.UUID, run: Run, slots: int) -> list[Claim]:
    now = timezone.now()
    if slots < 1 or not gates.is_open(run, now) or not prompts.may_claim(worker_id, run):
        return []
    if refusal := _refusal(run):
        skip_queued(run, *refusal)
        return []
    active = run.invocations.filter(status__in=ACTIVE).count()
    take = rate.may_take(slots=slots, active=active, max_concurrency=run.max_concurrency)
    if take < 1:
        return []
    gates.pass_gate(run)
    mine = _queued_for(worker_id).filter(Q(retry_at=None) | Q(retry_at__lte=now), run=run, ordinal__lt=run.open_before)
    chosen, parameters = mine.order_by("ordinal").values("pk")[:take].query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(
            f"""UPDATE console_invocation
               SET status = 'connecting', owner = %s, fence = fence + 1, attempt = attempt + 1, revision = %s,
                   retry_at = NULL, reason = '', message = ''
               WHERE id IN ({chosen})
               RETURNING id, run_id, instance_id, fence, attempt, is_prompted, session_id, ordinal""",  # noqa: S608
            [_uuid_param(worker_id), next_revision(run), *parameters],
        )
        rows = sorted(cursor.fetchall(), key=lambda row: row[-1])
    refresh_counts(run)
    return [Claim(*row[:-1]) for row in rows]


def _refusal(run: Run) -> tuple[str, str] | None:
    if rate.is_over(run.error_count, run.max_errors):
        return "max_errors", f"Not started: more than {run.max_errors} errors before it. The command did not run."
    if run.actor is None or not rules.allowed_anywhere(run.actor, rules.Action.SEND_COMMAND):
        return "not_permitted", f"Not started: {run.actor_name} may no longer send commands. The command did not run."
    return None


def skip_queued(run: Run, reason: str, message: str) -> None:
    """End a run's queued invocations as skipped, inside the caller's transaction."""
    run.invocations.filter(status=Status.QUEUED).update(
        status=Status.SKIPPED,
        reason=reason,
        message=message,
        finished_at=timezone.now(),
        revision=next_revision(run),
    )
    refresh_counts(run)


def _active() -> QuerySet[Invocation]:
    return Invocation.objects.filter(status__in=[literal(status) for status in sorted(ACTIVE)])


# ------------------------------------------------------------------ what a run comes to


def next_revision(run: Run) -> int:
    """Raise the run's revision inside the caller's transaction and return it."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE console_run SET revision = revision + 1 WHERE id = %s RETURNING revision", [run.pk])
        return int(cursor.fetchone()[0])


def refresh_counts(run: Run) -> None:
    """Set the run's counts, errors, batch and status from its invocations, inside the caller's transaction.

    Side effects: the secrets of a run that has ended are removed.
    """
    counts = dict(run.invocations.order_by().values_list("status").annotate(Count("pk")))
    run.refresh_from_db(fields=["stop_requested_at", "finished_at", *gates.STATE])
    run.counts = counts
    run.error_count = rate.errors_of(counts, ignore_unreachable=Rollout.of(run.rollout).ignore_unreachable)
    gates.advance(run)
    run.status = roll_up(
        counts,
        stop_asked=run.stop_requested_at is not None,
        is_waiting=run.gate == Gate.ASK,
        is_paused=run.paused_at is not None,
    )
    if run.status in ENDED_RUN and run.finished_at is None:
        run.finished_at = timezone.now()
        run_secrets.forget(run)
    run.save(update_fields=["counts", "error_count", "status", "finished_at", *gates.STATE])


# ------------------------------------------------------------------ stops


def stops_wanted(worker_id: uuid.UUID) -> list[int]:
    """Return this worker's active invocations that somebody asked to stop."""
    return list(
        _active().filter(owner=worker_id, stop_requested_at__isnull=False).order_by().values_list("pk", flat=True)
    )


# ------------------------------------------------------------------ lost ones


@dataclass(frozen=True, slots=True)
class LostOne:
    """A lost invocation that somebody asked about: where to look and for what."""

    invocation_id: int
    instance_id: int | None
    marker: uuid.UUID
    remote_pid: int | None
    remote_started: str
    recheck: str
    command_type: str = "shell"
    run_as: str = ""


def take_rechecks(worker_id: uuid.UUID, *, limit: int) -> list[LostOne]:
    """Take lost invocations that are to be looked after; those of a worker that died meanwhile too.

    The wish stays in the row until ``resolve_lost``: a worker killed in the middle of it must not leave it unanswered.
    """
    asked = Invocation.objects.filter(status=Status.LOST).exclude(recheck=literal("")).exclude(marker=None)
    asked = asked.filter(Q(owner=None) | ~Q(owner__in=WorkerLease.objects.values("pk")))
    if not asked.order_by().exists():
        return []
    with transaction.atomic():
        mine = list(asked.order_by("pk").select_for_update(skip_locked=True).values_list("pk", flat=True)[:limit])
        rows = list(
            Invocation.objects.filter(pk__in=mine)
            .order_by("pk")
            .values_list(
                "pk",
                "instance_id",
                "marker",
                "remote_pid",
                "remote_started",
                "recheck",
                "run__command_type",
                "run__run_as",
            )
        )
        Invocation.objects.filter(pk__in=mine).update(owner=worker_id)
    return [LostOne(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7]) for row in rows if row[2]]


def resolve_lost(worker_id: uuid.UUID, lost: LostOne, *, status: Status, reason: str, message: str) -> bool:
    """Write what was found out about a lost invocation.

    False when the question is no longer this worker's: it was asked anew meanwhile, or retention removed the row.
    """
    with transaction.atomic():
        row = Invocation.objects.select_related("run").filter(pk=lost.invocation_id).first()
        if row is None:
            return False
        asked = Invocation.objects.filter(pk=row.pk, status=Status.LOST, owner=worker_id, recheck=lost.recheck)
        written = asked.update(
            status=status, reason=reason, message=message, recheck="", owner=None, revision=next_revision(row.run)
        )
        refresh_counts(row.run)
    return written == 1


# ------------------------------------------------------------------ leases


def enlist(worker_id: uuid.UUID, public_key: bytes = b"") -> None:
    """Add this worker's lease. Take its LeaseFile first, or another worker may reap it at once."""
    # Counted from when it may write: it may have waited for that for longer than a lease.
    with transaction.atomic():
        WorkerLease.objects.create(
            id=worker_id, process_id=os.getpid(), boot_id=boot_id(), expires_ns=_expiry(), public_key=public_key
        )


def renew(worker_id: uuid.UUID) -> bool:
    """Extend this worker's lease; False when another worker has already taken it for dead."""
    with transaction.atomic():
        return WorkerLease.objects.filter(pk=worker_id).update(expires_ns=_expiry()) == 1


def discharge(worker_id: uuid.UUID) -> None:
    """Remove this worker's lease at the end of an orderly shutdown."""
    WorkerLease.objects.filter(pk=worker_id).delete()
    prompts.drop_boxes_of([worker_id])


def a_worker_is_alive() -> bool:
    """Say whether any worker holds a live lease that takes whatever waits."""
    return any(not is_dead(lease) and lease_file.takes_everything(lease.pk) for lease in WorkerLease.objects.all())


def is_dead(lease: WorkerLease) -> bool:
    """Say whether a worker can no longer be at work: its lock is free, or its lease is over, or it was another boot."""
    return lease.boot_id != boot_id() or lease.expires_ns < lease_clock_s() * 1e9 or not lease_file.is_held(lease.pk)


def reap(me: uuid.UUID) -> LeftBehind:
    """Resolve what dead workers left active.

    1. Not sent yet: back to queued, nothing was done.
    2. Sent: ``lost``, because nobody saw how it went on.
    The fence rises either way, so a worker that was only asleep finds that its rows are no longer its own.
    """
    owners = _dead(me)
    if not owners and not _left_by(owners).order_by().exists():
        return LeftBehind()
    with transaction.atomic():
        # Who had to wait for the database, as this one just did, has renewed meanwhile.
        owners = _dead(me)
        done = _resolve(_left_by(owners))
        WorkerLease.objects.filter(pk__in=owners).delete()
        prompts.drop_boxes_of(owners)
        # Before the commit: one that was only asleep enlists again right after it, with a new file of the same name.
        for owner in owners:
            lease_file.remove(owner)
    return done


def _dead(me: uuid.UUID) -> set[uuid.UUID]:
    return {lease.pk for lease in WorkerLease.objects.exclude(pk=me) if is_dead(lease)}


def _left_by(owners: set[uuid.UUID]) -> QuerySet[Invocation]:
    return _active().exclude(owner__in=WorkerLease.objects.exclude(pk__in=owners).values("pk"))


def _resolve(rows: QuerySet[Invocation]) -> LeftBehind:
    requeued = lost = 0
    # In the order in which claims lock them.
    for run in Run.objects.filter(pk__in=rows.order_by().values("run_id")).order_by("pk"):
        mine = rows.filter(run=run)
        revision = next_revision(run)
        unsent = mine.filter(status=Status.CONNECTING, start_sent_at=None)
        requeued += unsent.filter(stop_requested_at=None).update(
            status=Status.QUEUED, owner=None, fence=F("fence") + 1, revision=revision
        )
        unsent.update(
            status=Status.CANCELLED,
            reason="stopped_before_start",
            message="Stopped before it started. The command did not run.",
            finished_at=timezone.now(),
            owner=None,
            fence=F("fence") + 1,
            revision=revision,
        )
        lost += mine.update(
            status=Status.LOST,
            reason="console_restarted",
            message=(
                "The console's worker ended while this was running. The command may still be running, or may have "
                "ended unseen. Check again looks for it; Stop ends what is left."
            ),
            # The next worker looks by itself.
            recheck=Recheck.LOOK,
            finished_at=timezone.now(),
            owner=None,
            fence=F("fence") + 1,
            revision=revision,
        )
        refresh_counts(run)
    return LeftBehind(requeued=requeued, lost=lost)


def boot_id() -> str:
    """Return what names this boot of the machine; CLOCK_BOOTTIME means nothing across boots."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"{time.time() - time.clock_gettime(_CLOCK):.0f}"


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def lease_clock_s() -> float:
    """Return the time on the clock of the leases: it goes on while the machine is suspended."""
    return time.clock_gettime(_CLOCK)


def _expiry() -> int:
    return int((lease_clock_s() + LEASE_S) * 1e9)


def _uuid_param(value: uuid.UUID) -> str | uuid.UUID:
    return value if connection.features.has_native_uuid_field else value.hex
