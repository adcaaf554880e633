"""Owns how groups and the difference of two outputs are shown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import BinaryField
from django.db.models.functions import Substr
from django.urls import reverse

from console.members.models import User
from console.results.comparing import Comparison, compare, side_of
from console.results.grouping import LOOK_BYTES, Group, Grouping, Member, grouped
from console.results.normalise import Rules
from console.runs import services
from console.runs.models import Invocation, Output, OutputKind, Run
from console.runs.names import shown_names
from console.runs.status import END, Status
from instances.engine.text import decode

GROUPS = 100
SHOWN_MEMBERS = 200
# An address holds so many ids; servers refuse longer ones.
SENT_MEMBERS = 400
PREVIEW_BYTES, PREVIEW_LINES = 600, 4
NAMES_CHARACTERS = 300
LABELS = {
    "times": "times",
    "own_name": "the instance's own name",
    "looks": "colours and spaces at line ends",
    "numbers": "numbers",
    "exits": "exit status",
}


@dataclass(frozen=True, slots=True)
class Toggle:
    """One thing that may be ignored. ``name`` is its field in the address."""

    name: str
    label: str
    is_on: bool


@dataclass(frozen=True, slots=True)
class Ignored:
    """What a viewer of the groups wants ignored: the rules, and whether the exit status matters."""

    rules: Rules
    exits: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The fields of the address that are set."""
        return (*self.rules.names, *(("exits",) if self.exits else ()))

    @property
    def toggles(self) -> list[Toggle]:
        """All there are, for the form."""
        return [Toggle(name, label, name in self.names) for name, label in LABELS.items()]

    @property
    def query(self) -> list[tuple[str, str]]:
        """What an address keeps of it."""
        return [(name, "1") for name in self.names]


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One group as it is shown."""

    key: str
    status: str
    label: str
    count: int
    first: Member
    names: str
    all_names: str
    text: str
    shown: Sequence[Member]
    hidden: int
    open_url: str
    diff_url: str
    send_url: str


@dataclass(frozen=True, slots=True)
class GroupsView:
    """The groups as they are shown, largest first; ``more`` counts those that are not."""

    rows: Sequence[GroupRow]
    number: int
    total: int
    unread: int
    is_partial: bool
    more: int
    more_url: str
    url: str
    open_url: str
    largest: Member | None


def groups_view(user: User, run: Run, ignored: Ignored, *, shown: int = GROUPS) -> GroupsView:
    """Return the groups of what a user may see of a run. Side effects: two queries, and those of ``grouped``."""
    mine = services.visible_invocations(user, run)
    grouping = grouped(mine, ignored.rules, by_exit=not ignored.exits)
    groups = grouping.groups[:shown]
    address = reverse("run-groups", args=[run.pk])
    more = len(grouping.groups) - len(groups)
    largest = next((group for group in grouping.groups if group.is_output), None)
    texts = _previews(group for group in groups if group.is_output and not group.is_removed)
    open_url = f"{address}?{urlencode([*ignored.query, ('i', '')])}"
    return GroupsView(
        rows=[_row(run, group, largest, ignored, texts.get(group.first_pk, ""), open_url) for group in groups],
        number=len(grouping.groups),
        total=grouping.total,
        unread=grouping.unread,
        is_partial=_is_partial(grouping),
        more=more,
        more_url=f"{address}?{urlencode([*ignored.query, ('shown', shown + GROUPS)])}" if more else "",
        url=f"{address}?{urlencode([*ignored.query, ('shown', shown)])}",
        open_url=open_url,
        largest=largest.first if largest else None,
    )


def _is_partial(grouping: Grouping) -> bool:
    return grouping.unread > 0 and sum(group.size * len(group.members) for group in grouping.groups) > LOOK_BYTES


def _row(run: Run, group: Group, largest: Group | None, ignored: Ignored, text: str, open_url: str) -> GroupRow:
    names = shown_names(member.name for member in group.members)
    ids = [str(member.instance_id) for member in group.members if member.instance_id]
    pair = [] if largest is None or group is largest or not group.is_output else [largest.first, group.first]
    query = urlencode([*zip("ab", (member.ordinal for member in pair), strict=False), *ignored.query])
    return GroupRow(
        key=group.key,
        status=group.status,
        label=_label(group),
        count=len(group.members),
        first=group.first,
        names=names[:NAMES_CHARACTERS] + ("…" if len(names) > NAMES_CHARACTERS else ""),
        all_names=names,
        text=text,
        shown=group.members[:SHOWN_MEMBERS],
        hidden=max(0, len(group.members) - SHOWN_MEMBERS),
        open_url=f"{open_url}{group.first.ordinal}",
        diff_url=f"{reverse('run-diff', args=[run.pk])}?{query}" if pair else "",
        send_url=f"{reverse('send')}?ids={','.join(ids)}" if 0 < len(ids) <= SENT_MEMBERS else "",
    )


def _label(group: Group) -> str:
    words = []
    if group.is_output:
        words.append("no output" if group.is_empty else "identical" if len(group.members) > 1 else "unlike the others")
    elif group.status not in END and group.status != Status.QUEUED:
        words.append("still running")
    elif group.reason:
        words.append(group.reason.replace("_", " "))
    if group.exit not in {"", "0"}:
        words.append(f"exit status {group.exit}" if group.exit.lstrip("-").isdecimal() else f"signal {group.exit}")
    if group.is_removed:
        words.append("output removed by retention")
    return ", ".join(words)


def _previews(groups: Iterable[Group]) -> dict[int, str]:
    """Return the first lines of the output that stands for each group, by its invocation."""
    rows = (
        Output.objects.filter(invocation_id__in=[group.first_pk for group in groups], offset=0)
        .exclude(kind=OutputKind.GAP)
        .annotate(start=Substr("data", 1, PREVIEW_BYTES, output_field=BinaryField()))
        .values_list("invocation_id", "start", "invocation__code_page")
    )
    return {pk: _first_lines(decode(bytes(start), code_page)) for pk, start, code_page in rows}


def _first_lines(text: str) -> str:
    lines = text.rstrip("\ufffd").split("\n")
    more = len(lines) > PREVIEW_LINES + 1
    return "\n".join(lines[:PREVIEW_LINES]).rstrip() + ("\n⋯" if more else "")


# ------------------------------------------------------------------ two of them


@dataclass(frozen=True, slots=True)
class Choice:
    """An output that can be compared: the one that stands for a group."""

    ordinal: int
    label: str


@dataclass(frozen=True, slots=True)
class DiffView:
    """Two outputs of a run side by side; ``comparison`` is None when one of them was removed."""

    left: Invocation
    right: Invocation
    choices: Sequence[Choice]
    comparison: Comparison | None

    @property
    def is_removed(self) -> bool:
        """Whether retention removed one of them."""
        return self.comparison is None


def diff_view(user: User, run: Run, ignored: Ignored, *, left: int, right: int) -> DiffView:
    """Return how two invocations of a run differ. Raises: Invocation.DoesNotExist where the user may see neither."""
    mine = services.visible_invocations(user, run)
    first, second = mine.get(ordinal=left), mine.get(ordinal=right)
    groups = [group for group in grouped(mine, ignored.rules, by_exit=not ignored.exits).groups if group.is_output]
    choices = [Choice(group.first.ordinal, _choice_label(group)) for group in groups[:GROUPS]]
    named = {choice.ordinal for choice in choices}
    choices += [Choice(side.ordinal, side.instance_name) for side in (first, second) if side.ordinal not in named]
    is_removed = first.output_removed_at or second.output_removed_at
    comparison = None if is_removed else compare(side_of(first, ignored.rules), side_of(second, ignored.rules))
    return DiffView(first, second, choices, comparison)


def _choice_label(group: Group) -> str:
    others = len(group.members) - 1
    return f"{group.first.name} and {others:,} more" if others else group.first.name
