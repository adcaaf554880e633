"""Owns what one viewer still has to be sent: status partials of a watched run, bytes of an opened invocation.

Sync and database-bound; the consumer calls it in a thread and owns the socket. Nothing here waits.
"""

import struct
from dataclasses import dataclass

from django.template.loader import render_to_string

from console.members.models import User
from console.runs import answers, output, services, stopping
from console.runs.answers import Answer
from console.runs.models import Invocation, OutputKind, Run
from console.runs.presentation import pages_of, run_view
from console.runs.status import END
from instances.access import rules

# A viewer that is further behind is taken to the tail; what it missed is a counted gap.
BEHIND_BYTES = 1024 * 1024
FRAME_BYTES = 256 * 1024
MAX_PARTIALS = 100
_RECORD = struct.Struct(">BIQI")


@dataclass(slots=True)
class Watching:
    """A viewer's look at a run: which filter and page it sees, and the revision it has been shown.

    ``opened`` is the ordinal whose output the viewer reads, whatever page the rows are on; ``shown`` the one whose
    details it was last sent. ``row_ids`` are the ordinals of the rows in the browser, and ``matching`` how many match
    the filter, as the browser says beside them: both as far as they are known.
    """

    user: User
    run_id: int
    status: str
    page: int
    row_ids: tuple[int, ...] | None = None
    matching: int | None = None
    opened: int | None = None
    shown: int | None = None
    revision: int = -1

    @property
    def was_seen(self) -> bool:
        """Whether the run was found at least once: then one that is not found any more was taken away."""
        return self.revision >= 0

    def news(self) -> str:
        """Return the partials for what changed since the last call, or an empty string.

        Only rows the viewer sees are sent; when other rows belong on the page now, the page is sent once.
        Raises: Run.DoesNotExist when the run is gone or no longer visible.
        """
        run = services.visible_runs(self.user).get(pk=self.run_id)
        # The viewer may open another one meanwhile: that is for the next call.
        opened = self.opened
        is_new = opened != self.shown
        if run.revision == self.revision and not is_new:
            return ""
        view = run_view(self.user, run, status=self.status, page=self.page, opened=opened)
        # Not by the revision: the run is read before its rows, and they can be newer.
        rows_changed = view.row_ids != self.row_ids
        changed = [] if rows_changed else [row for row in view.rows if row.revision > self.revision]
        context = {
            "run_view": view,
            "asked": self,
            "rows_changed": rows_changed,
            "changed_rows": changed[:MAX_PARTIALS],
            # The same rows can be one page of more than before.
            "pages_changed": self.matching is None or view.pages != pages_of(self.matching),
            "matching_changed": view.matching != self.matching,
            # Before the viewer says what it has open, the first row is only a guess.
            "opened_changed": opened is not None
            and view.opened is not None
            and (is_new or view.opened.revision > self.revision),
        }
        self.revision, self.row_ids, self.shown = run.revision, view.row_ids, opened
        self.matching = view.matching
        return render_to_string("runs/_frame.html", context)


@dataclass(slots=True)
class Opened:
    """A viewer's look at one invocation's output: where it is, and what it has acknowledged.

    ``channel`` is new for every opening, so that late bytes of a former one cannot land in the new pane.
    """

    invocation_id: int
    run_id: int
    ordinal: int
    channel: int
    position: int
    acknowledged: int
    has_ended: bool = False

    @property
    def credit_bytes(self) -> int:
        """How many more bytes may be sent before the viewer acknowledges some."""
        return BEHIND_BYTES - (self.position - self.acknowledged)

    def news(self) -> tuple[bytes, dict[str, object] | None]:
        """Return the next records, and the end message once everything was sent.

        Shape: ``u8 kind | u32 channel | u64 offset | u32 length | bytes``, big endian, many in one frame.
        What retention has removed is a counted gap. Raises: Invocation.DoesNotExist when the whole run was removed.
        """
        columns = ("size", "status", "sha256", "dropped_bytes", "output_removed_at")
        invocation = Invocation.objects.only(*columns).get(pk=self.invocation_id)
        records = self._removed(invocation.size) if invocation.output_removed_at else self._records(invocation.size)
        if records or self.has_ended or invocation.status not in END or self.position < invocation.size:
            return records, None
        self.has_ended = True
        return b"", {"type": "ended", "ch": self.channel, "size": invocation.size, "sha256": invocation.sha256}

    def _records(self, size: int) -> bytes:
        records = b""
        if size - self.position > BEHIND_BYTES:
            records = self._skip_to(output.tail_start(size))
        if size <= self.position or self.credit_bytes <= 0:
            return records
        for piece in output.read(self.invocation_id, after=self.position, limit_bytes=FRAME_BYTES):
            data = struct.pack(">Q", piece.length) if piece.kind is OutputKind.GAP else piece.data
            records += self._record(piece.kind, piece.offset, data)
            if piece.kind is OutputKind.GAP:
                self.acknowledged += piece.length
            self.position = piece.end
        return records

    def _removed(self, size: int) -> bytes:
        return self._skip_to(size) if self.position < size else b""

    def _skip_to(self, offset: int) -> bytes:
        gap = self._record(OutputKind.GAP, self.position, struct.pack(">Q", offset - self.position))
        # What was skipped was not sent, so it needs no acknowledgement.
        self.acknowledged += offset - self.position
        self.position = offset
        return gap

    def _record(self, kind: OutputKind, offset: int, data: bytes) -> bytes:
        return _RECORD.pack(kind, self.channel, offset, len(data)) + data


def open_output(user: User, run_id: int, ordinal: int, *, channel: int, start: int) -> tuple[Opened, int]:
    """Start a look at an invocation's output from a byte on; return it with the size of the log.

    A start of 0 in a large log means its tail: the viewer is told the gap.
    Raises: Run.DoesNotExist, Invocation.DoesNotExist when there is none that the user may see.
    """
    run = services.visible_runs(user).get(pk=run_id)
    invocation = services.visible_invocations(user, run).get(ordinal=ordinal)
    start = min(max(0, start), invocation.size)
    look = Opened(
        invocation_id=invocation.pk,
        run_id=run_id,
        ordinal=ordinal,
        channel=channel,
        position=start,
        acknowledged=start,
    )
    return look, invocation.size


def may_see(user: User, invocation_id: int) -> bool:
    """Say whether a user may still see an invocation: a grant can be taken away while its output is open."""
    scope = rules.scope(user, rules.Action.VIEW, field="instance__group")
    return Invocation.objects.filter(scope, pk=invocation_id).exists()


def answer(user: User, run_id: int, what: str, batch: int) -> None:
    """Say what becomes of the rest of a run, for a viewer. Raises: ValueError, Run.DoesNotExist, NotAllowed."""
    said = Answer(what)
    run = services.visible_runs(user).get(pk=run_id)
    answers.answer(user, run=run, what=said, batch=batch)


def stop(user: User, run_id: int, ordinal: int | None) -> None:
    """Stop a run or one of its invocations for a viewer. Raises: Run.DoesNotExist, NotAllowed."""
    stopping.stop_run(user, run=Run.objects.get(pk=services.visible_runs(user).get(pk=run_id).pk), ordinal=ordinal)
