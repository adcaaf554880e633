"""Everything done with a known_hosts file: what each line means for which instance, and doing what was confirmed."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.db import transaction

from instances.access import rules
from instances.access.models import Group
from instances.access.rules import Action
from instances.audit.services import record
from instances.engine.types import HostKey as PresentedKey
from instances.host_keys import authorities, known_hosts, services
from instances.host_keys.known_hosts import Entry, LineInvalid, Marker
from instances.host_keys.models import HostAuthority, HostKey, HostKeyState, RevokedKey

if TYPE_CHECKING:
    from console.members.models import User

TEXT_LIMIT = 3_000_000
# Hashed names, and patterns with wildcards, are compared with address after address: about 1 µs each.
COMPARISONS = 4_000_000
PAIRS_LIMIT = 100_000
TOO_LONG = f"This is more than {TEXT_LIMIT // 1_000_000} MB: import it in parts, or with manage.py import_known_hosts."
_PER_AUDIT_ENTRY = 1000


class Outcome(StrEnum):
    """What a line means: for one instance, or for none."""

    WRONG = "wrong"
    CHANGED = "changed"
    NEW = "new"
    AUTHORITY = "authority"
    REVOKE = "revoke"
    REVOKED = "revoked"
    KNOWN = "known"
    UNMATCHED = "unmatched"
    NOT_COMPARED = "not_compared"


class PreviewOutdated(ValidationError):
    """Instances or trusted keys changed since this was shown. Look at it again, then confirm."""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__ or "", code="outdated")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line, and for a host key one instance that it is for; ``number`` counts from 1, ``note`` says why."""

    number: int
    outcome: Outcome
    entry: Entry | None = None
    instance_id: int | None = None
    instance_name: str = ""
    note: str = ""


@dataclass(frozen=True)
class Preview:
    """What a file would do; ``version`` is the same as long as it would do the same."""

    findings: tuple[Finding, ...]
    counts: Counter[Outcome]
    version: str

    def of(self, *outcomes: Outcome) -> list[Finding]:
        """Return the findings with these outcomes, in the order of the lines."""
        return [finding for finding in self.findings if finding.outcome in outcomes]

    @property
    def changes(self) -> int:
        """How many findings would change anything."""
        return sum(self.counts[outcome] for outcome in _CHANGING)


_CHANGING = (Outcome.NEW, Outcome.CHANGED, Outcome.AUTHORITY, Outcome.REVOKE)


@dataclass(frozen=True)
class Applied:
    """What an import did, in numbers."""

    trusted: int = 0
    replaced: int = 0
    queued: int = 0
    authorities: int = 0
    revoked: int = 0


@dataclass
class _Ground:
    """The instances the actor decides about, and what is known of their keys."""

    # By id: name, address, port, group.
    instances: dict[int, tuple[str, str, int, int | None]]
    trusted: dict[int, dict[str, set[bytes]]] = field(default_factory=dict)
    shown: dict[bytes, set[int]] = field(default_factory=dict)
    revoked: dict[bytes, set[int | None]] = field(default_factory=dict)

    def is_revoked(self, instance_id: int, key: PresentedKey) -> bool:
        groups = self.revoked.get(key.data, ())
        return bool(groups) and (None in groups or self.instances[instance_id][3] in groups)


@dataclass
class _Budget:
    """How many comparisons are left; None: no limit."""

    left: int | None

    @property
    def is_spent(self) -> bool:
        return self.left is not None and self.left <= 0

    def spend(self, count: int) -> None:
        if self.left is not None:
            self.left -= count


_Matched = list[tuple[int, Entry | None, Sequence[int], str]]


def preview(actor: "User", *, text: str, group: Group | None = None, comparisons: int | None = COMPARISONS) -> Preview:
    """Say what a known_hosts file would do; nothing is saved.

    Authorities and revocations would count for ``group``, or everywhere. Side effects: a few queries for any text.
    Raises: NotAllowed, ValidationError for a text that is too long.
    """
    rules.require_anywhere(actor, Action.TRUST_HOST_KEYS)
    ground = _ground(actor)
    return _judged(actor, _matched(text, ground, comparisons), ground, group)


def apply(
    actor: "User",
    *,
    text: str,
    expected: str,
    group: Group | None = None,
    replace: Collection[int] = (),
    comparisons: int | None = COMPARISONS,
) -> Applied:
    """Do what ``preview`` said, in one transaction.

    1. New keys are trusted; waiting ones among them leave the review.
    2. A changed key is put into the review, except on the lines in ``replace``: there it takes the place of the trusted
       keys of its kind.
    3. Authorities are trusted and keys revoked, for ``group`` or everywhere.
    Raises: NotAllowed, PreviewOutdated when ``expected`` is not the preview's version any more, ValidationError.
    """
    rules.require_anywhere(actor, Action.TRUST_HOST_KEYS)
    ground = _ground(actor)
    # Before the transaction: comparing takes seconds, and there is one writer.
    matched = _matched(text, ground, comparisons)
    with transaction.atomic():
        now = _ground(actor)
        if now.instances != ground.instances:
            raise PreviewOutdated
        judged = _judged(actor, matched, now, group)
        if judged.version != expected:
            raise PreviewOutdated
        return _apply(actor, judged, now, group, set(replace))


def _apply(actor: "User", judged: Preview, ground: _Ground, group: Group | None, replace: set[int]) -> Applied:
    changed = judged.of(Outcome.CHANGED)
    confirmed = [one for one in changed if one.number in replace]
    queued = [one for one in changed if one.number not in replace]
    revoking = {one.entry.key.data for one in judged.of(Outcome.REVOKE) if one.entry}
    for one in judged.of(Outcome.REVOKE):
        if one.entry:
            authorities.revoke(actor, key=one.entry.key, comment=one.entry.comment, group=group)
    for one in judged.of(Outcome.AUTHORITY):
        if one.entry and one.entry.key.data not in revoking:
            entry = one.entry
            authorities.trust_authority(
                actor, key=entry.key, patterns=entry.names, name=entry.comment[:80], group=group
            )
    replaced = services.trust_entered(actor, _keys(judged.of(Outcome.NEW)), replacing=_keys(confirmed))
    services.queue_changed(_keys(queued))
    for part in _parts([*judged.of(Outcome.NEW), *changed]):
        _record(actor, part, replace)
    return Applied(
        trusted=judged.counts[Outcome.NEW] + len(confirmed),
        replaced=replaced,
        queued=len(queued),
        authorities=judged.counts[Outcome.AUTHORITY],
        revoked=judged.counts[Outcome.REVOKE],
    )


def _keys(findings: Iterable[Finding]) -> list[tuple[int, PresentedKey]]:
    return [(one.instance_id, one.entry.key) for one in findings if one.instance_id is not None and one.entry]


def _record(actor: "User", findings: list[Finding], replace: set[int]) -> None:
    said: dict[str, defaultdict[int, list[str]]] = {name: defaultdict(list) for name in ("trusted", "queued")}
    for one in findings:
        is_queued = one.outcome == Outcome.CHANGED and one.number not in replace
        if one.entry and one.instance_id is not None:
            said["queued" if is_queued else "trusted"][one.instance_id].append(one.entry.key.fingerprint)
    record(actor, "import_known_hosts", f"{len(findings)} host keys", **said)


def _parts(findings: list[Finding]) -> Iterator[list[Finding]]:
    return (findings[at : at + _PER_AUDIT_ENTRY] for at in range(0, len(findings), _PER_AUDIT_ENTRY))


# ------------------------------------------------------------------ which lines are for which instances


def _ground(actor: "User") -> _Ground:
    scope = rules.scope(actor, Action.TRUST_HOST_KEYS)
    rows = services.instance_model().objects.filter(scope, is_local=False)
    places = rows.values_list("pk", "name", "address", "port", "group_id")
    ground = _Ground({pk: (name, address, port, group_id) for pk, name, address, port, group_id in places})
    keys = HostKey.objects.filter(rules.scope(actor, Action.TRUST_HOST_KEYS, field="instance__group"))
    for instance_id, state, algorithm, data in keys.values_list("instance_id", "state", "algorithm", "data"):
        ground.shown.setdefault(bytes(data), set()).add(instance_id)
        if state == HostKeyState.TRUSTED:
            ground.trusted.setdefault(instance_id, {}).setdefault(algorithm, set()).add(bytes(data))
    for data, group_id in RevokedKey.objects.values_list("data", "group_id"):
        ground.revoked.setdefault(bytes(data), set()).add(group_id)
    return ground


def _matched(text: str, ground: _Ground, comparisons: int | None) -> _Matched:
    """Return each line with its entry, the instances its names are for, and what is wrong with it."""
    if len(text) > TEXT_LIMIT and comparisons is not None:
        raise ValidationError(TOO_LONG)
    places = _Places(ground, _Budget(comparisons))
    found: _Matched = []
    for number, line in known_hosts.lines(text):
        if number > known_hosts.LINE_LIMIT and comparisons is not None:
            raise ValidationError(f"A file has at most {known_hosts.LINE_LIMIT:,} lines: import it in parts.")
        try:
            entry = known_hosts.read_line(line)
            if entry.marker is Marker.AUTHORITY:
                known_hosts.check_patterns(entry.names)
        except LineInvalid as error:
            found.append((number, None, (), str(error)))
            continue
        is_key = entry.marker is Marker.HOST_KEY
        ids = places.of(entry) if is_key else ()
        found.append((number, entry, ids or (), NOT_COMPARED if ids is None else ""))
    return found


NOT_COMPARED = "Too many hashed names or wildcards for one page: not compared with the addresses any more."


class _Places:
    """The instances by the names that known_hosts has for them."""

    def __init__(self, ground: _Ground, budget: _Budget) -> None:
        self._shown = ground.shown
        self._budget = budget
        self._pairs = PAIRS_LIMIT
        self._ids: defaultdict[str, list[int]] = defaultdict(list)
        self._place: dict[int, str] = {}
        for pk, (_, address, port, _) in ground.instances.items():
            self._place[pk] = known_hosts.place_of(address, port)
            self._ids[self._place[pk]].append(pk)
        self._bytes = [(place.encode(), ids) for place, ids in self._ids.items()]
        self._next = 0

    def of(self, entry: Entry) -> Sequence[int] | None:
        """Return the instances a line is for; None when that would take too long to find out."""
        ids = self._hashed(entry) if entry.is_hashed else self._named(entry)
        if ids and self._budget.left is not None:
            self._pairs -= len(ids)
        return None if self._pairs < 0 else ids

    def _named(self, entry: Entry) -> Sequence[int] | None:
        match = known_hosts.Matcher(entry.names)
        if not match.has_wildcards:
            return [pk for place in match.exact if not match.leaves_out(place) for pk in self._ids.get(place, ())]
        if self._budget.is_spent:
            return None
        self._budget.spend(len(self._ids))
        return [pk for place, ids in self._ids.items() if match(place) for pk in ids]

    def _hashed(self, entry: Entry) -> Sequence[int] | None:
        match = known_hosts.hash_matcher(entry.names)
        for pk in self._shown.get(entry.key.data, ()):
            if pk in self._place and match(self._place[pk].encode()):
                return self._ids[self._place[pk]]
        if self._budget.is_spent:
            return None
        # Files are often in the order of the inventory: begin behind the last hit.
        for tried, at in enumerate(chain(range(self._next, len(self._bytes)), range(self._next)), 1):
            place, ids = self._bytes[at]
            if match(place):
                self._next = at + 1
                self._budget.spend(tried)
                return ids
        self._budget.spend(len(self._bytes))
        return []


# ------------------------------------------------------------------ what that means


def _judged(actor: "User", matched: _Matched, ground: _Ground, group: Group | None) -> Preview:
    judge = _Judge(actor, ground, group, {e.key.data for _, e, _, _ in matched if e and e.marker is Marker.REVOKED})
    findings = tuple(one for line in matched for one in judge.findings(*line))
    digest = hashlib.sha256(repr(group and group.pk).encode())
    for one in findings:
        digest.update(f"{one.number} {one.outcome} {one.instance_id}\n".encode())
        digest.update(one.entry.key.data + one.entry.names.encode() if one.entry else b"")
    return Preview(findings, Counter(one.outcome for one in findings), digest.hexdigest())


class _Judge:
    """Says what each line means; a key that an earlier line has for the same instance is known by then."""

    def __init__(self, actor: "User", ground: _Ground, group: Group | None, revoking: set[bytes]) -> None:
        self._ground = ground
        self._group_id = group.pk if group is not None else None
        self._may_mark = rules.allowed(actor, Action.TRUST_HOST_KEYS, group)
        self._revoking = revoking
        self._said: set[tuple[int | None, str, bytes]] = set()
        rows = HostAuthority.objects.filter(group=group).values_list("patterns", "data")
        self._authorities = {(patterns, bytes(data)) for patterns, data in rows}

    def findings(self, number: int, entry: Entry | None, ids: Sequence[int], wrong: str) -> Iterator[Finding]:
        """Yield what a line means, for each instance it is for."""
        if entry is None:
            yield Finding(number, Outcome.WRONG, note=wrong)
        elif wrong:
            yield Finding(number, Outcome.NOT_COMPARED, entry, note=wrong)
        elif entry.marker is not Marker.HOST_KEY:
            yield self._marked(number, entry)
        elif not ids:
            yield Finding(number, Outcome.UNMATCHED, entry)
        for pk in ids:
            assert entry is not None
            outcome = self._outcome(pk, entry.key)
            note = self._trusted_now(pk, entry.key) if outcome is Outcome.CHANGED else ""
            yield Finding(number, outcome, entry, pk, self._ground.instances[pk][0], note)

    def _outcome(self, pk: int, key: PresentedKey) -> Outcome:
        if self._will_be_revoked(pk, key) or self._ground.is_revoked(pk, key):
            return Outcome.REVOKED
        trusted = self._ground.trusted.get(pk, {}).get(key.algorithm, set())
        if key.data in trusted or not self._is_first(pk, "", key.data):
            return Outcome.KNOWN
        return Outcome.CHANGED if trusted else Outcome.NEW

    def _trusted_now(self, pk: int, key: PresentedKey) -> str:
        trusted = self._ground.trusted[pk][key.algorithm]
        return "Trusted now: " + ", ".join(sorted(PresentedKey(key.algorithm, data).fingerprint for data in trusted))

    def _will_be_revoked(self, pk: int, key: PresentedKey) -> bool:
        return key.data in self._revoking and self._group_id in {None, self._ground.instances[pk][3]}

    def _marked(self, number: int, entry: Entry) -> Finding:
        if not self._may_mark:
            return Finding(number, Outcome.WRONG, note="Choose the group it counts for: you do not decide for all.")
        data, is_authority = entry.key.data, entry.marker is Marker.AUTHORITY
        names = known_hosts.check_patterns(entry.names) if is_authority else ""
        if is_authority and (data in self._revoking or self._is_revoked_here(data)):
            return Finding(number, Outcome.REVOKED, entry)
        is_known = (names, data) in self._authorities if is_authority else self._is_revoked_here(data)
        if is_known or not self._is_first(None, f"{entry.marker}{names}", data):
            return Finding(number, Outcome.KNOWN, entry)
        return Finding(number, Outcome.AUTHORITY if is_authority else Outcome.REVOKE, entry)

    def _is_revoked_here(self, data: bytes) -> bool:
        return bool(self._ground.revoked.get(data, set()) & {None, self._group_id})

    def _is_first(self, pk: int | None, what: str, data: bytes) -> bool:
        is_first = (pk, what, data) not in self._said
        self._said.add((pk, what, data))
        return is_first
