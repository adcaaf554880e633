"""Owns jump hosts: who may choose which, chains without circles, and what keeps a chain from being used.

Who may choose a jump host, and who may change the address of what is behind one, may send commands to the jump host:
from there the same network can be reached anyway, so nobody reaches more than before.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import QuerySet

from instances.access import rules
from instances.access.rules import Action
from instances.credentials.services import credentials_for, suspended_on
from instances.inventory.errors import InUseAsJumpHost, JumpInvalid
from instances.inventory.models import Instance

if TYPE_CHECKING:
    from console.members.models import User
    from instances.inventory.services import NewInstance

HOPS_LIMIT = 8
SUGGESTED = 20
_NAMES_TOLD = 5
_BATCH = 5000


@dataclass(frozen=True)
class Blocked:
    """Why nothing is sent through a chain; ``reason`` is instance_disabled or auth_failed."""

    reason: str
    message: str

    @property
    def cause(self) -> str:
        """The message without what it says about a command."""
        return self.message.removesuffix(" The command did not run.")


def usable(actor: "User") -> QuerySet[Instance]:
    """Return the instances the actor may have others reached through."""
    return Instance.objects.filter(rules.scope(actor, Action.SEND_COMMAND), is_local=False, is_adhoc=False)


def find(actor: "User", name: str) -> Instance | None:
    """Return the jump host of that name; None for no name. Raises: JumpInvalid, also for what the actor may not use."""
    name = name.strip()
    if not name:
        return None
    found = usable(actor).filter(name=name).first()
    if found is None:
        raise JumpInvalid(f"There is no instance “{name[:80]}” that you may use as a jump host.")
    return found


def suggest(actor: "User", text: str) -> list[str]:
    """Return a few names of jump hosts to choose from: those with the text in them, those in use first."""
    names = usable(actor).filter(name__icontains=text.strip()).order_by("name")
    in_use = list(names.filter(behind__isnull=False).distinct().values_list("name", flat=True)[:SUGGESTED])
    if not text.strip():
        return in_use
    return [*in_use, *names.exclude(name__in=in_use).values_list("name", flat=True)[: SUGGESTED - len(in_use)]]


def check(actor: "User", *, instance: Instance, jump: Instance | None) -> None:
    """Refuse a jump host that may not, or cannot, stand before an instance (saved or not).

    Reads the chains as they are in this transaction; the rows it goes by are locked, so that two changes at the same
    time cannot make a circle together.
    Raises: JumpInvalid.
    """
    if instance.is_local and instance.pk is not None and instance.behind.exists():
        raise JumpInvalid("Others are reached through it, and the console's own machine is no jump host.")
    if jump is None:
        return
    if instance.is_local:
        raise JumpInvalid("The console's own machine is reached without SSH, so not through a jump host.")
    if jump.is_local:
        raise JumpInvalid("The console's own machine is where connections start; it is no jump host.")
    if not rules.allowed(actor, Action.SEND_COMMAND, jump.group):
        raise JumpInvalid(
            f"Only who may send commands to {jump.name} decides what is reached through it. Ask an administrator."
        )
    before = _locked_chain(jump, instance)
    if len(before) + _height(instance) > HOPS_LIMIT:
        raise JumpInvalid(f"A chain has at most {HOPS_LIMIT} jump hosts.")


def join(actor: "User", added: Sequence[tuple["NewInstance", Instance]]) -> None:
    """Check the jump hosts that instances were just added with, and give the others the new one named ``via``.

    Side effects: a few queries for each jump host, however many instances.
    Raises: JumpInvalid.
    """
    by_name = {row.name: row for _, row in added}
    behind: defaultdict[int, list[int]] = defaultdict(list)
    for one, row in added:
        if one.via:
            row.jump = by_name.get(one.via)
            if row.jump is None:
                raise JumpInvalid(f"The jump host “{one.via}” is not there any more. Look at the list again.")
            behind[row.jump.pk].append(row.pk)
    joined = [row for _, row in added if row.jump is not None]
    lengths: dict[int | None, int] = {None: 0}
    for row in joined:
        length, at = 0, row.jump
        while at is not None and at.name in by_name and length <= HOPS_LIMIT:
            length, at = length + 1, by_name[at.name].jump
        if length > HOPS_LIMIT:
            raise JumpInvalid(f"A chain has at most {HOPS_LIMIT} jump hosts, and no circles.")
        if row.is_local or (row.jump is not None and row.jump.is_local):
            raise JumpInvalid("The console's own machine is reached without SSH, and is no jump host.")
        before = at.pk if at is not None else None
        if at is not None and before not in lengths:
            check(actor, instance=Instance(name=row.name), jump=at)
            lengths[before] = 1 + len(chain_of(at))
        if length + lengths[before] > HOPS_LIMIT:
            raise JumpInvalid(f"A chain has at most {HOPS_LIMIT} jump hosts.")
    for jump_id, ids in behind.items():
        for start in range(0, len(ids), _BATCH):
            Instance.objects.filter(pk__in=ids[start : start + _BATCH]).update(jump=jump_id)


def chain_of(instance: Instance) -> list[Instance]:
    """Return the jump hosts of an instance, the one dialled first first."""
    hops, chain = hops_of([instance]), list[Instance]()
    jump_id = instance.jump_id
    while jump_id in hops and len(chain) < HOPS_LIMIT:
        chain.append(hops[jump_id])
        jump_id = hops[jump_id].jump_id
    return chain[::-1]


def hops_of(instances: Iterable[Instance]) -> dict[int | None, Instance]:
    """Return every jump host in the chains of instances, by id. Side effects: a query for each link of the longest."""
    hops: dict[int | None, Instance] = {}
    wanted = {row.jump_id for row in instances if row.jump_id is not None}
    while wanted:
        found = Instance.objects.select_related("group", "credential").in_bulk(wanted)
        hops |= found
        wanted = {row.jump_id for row in found.values() if row.jump_id is not None} - set(hops)
    return hops


def blocked(instances: Iterable[Instance]) -> dict[int, Blocked]:
    """Return, by instance id, why nothing may be sent through its chain: a jump host is disabled, or its credential
    is suspended on it.

    Side effects: none without jump hosts, otherwise a few queries, however many instances.
    """
    rows = list(instances)
    hops = hops_of(rows)
    if not hops:
        return {}
    suspended = suspended_on(credentials_for(hops.values()))
    found: dict[int, Blocked] = {}
    for row in rows:
        jump_id, left = row.jump_id, HOPS_LIMIT
        while jump_id in hops and left:
            hop = hops[jump_id]
            if hop.is_disabled:
                found[row.pk] = Blocked(
                    "instance_disabled", f"Its jump host {hop.name} is disabled. The command did not run."
                )
            elif hop.pk in suspended:
                found[row.pk] = Blocked(
                    "auth_failed",
                    f"The credential of its jump host {hop.name} was refused there twice and is not offered again "
                    "until somebody changes it or presses Try again on that instance's page. The command did not run.",
                )
            jump_id, left = hop.jump_id, left - 1
    return found


def refuse_if_in_use(actor: "User", ids: Collection[int], parts: Iterable[QuerySet[Instance]]) -> None:
    """Refuse to delete instances through which others, that are to stay, are reached.

    Without its jump host an instance would be dialled directly, and that may be another machine.
    Raises: InUseAsJumpHost, naming some of those behind that the actor may see.
    """
    behind: dict[int, str] = {}
    for part in parts:
        rows = Instance.objects.filter(jump__in=part.values("pk")).values_list("pk", "jump__name")
        behind |= {pk: jump for pk, jump in rows if pk not in ids}
    if not behind:
        return
    first = Instance.objects.filter(rules.scope(actor, Action.VIEW), pk__in=sorted(behind)[:_BATCH])
    named = list(first.order_by("name").values_list("name", flat=True)[:_NAMES_TOLD])
    more = len(behind) - len(named)
    told = ", ".join(named) + (f" and {more} more" if named and more else "") or f"{more} in all"
    jumps = ", ".join(sorted(set(behind.values()))[:_NAMES_TOLD])
    raise InUseAsJumpHost(
        f"{jumps}: other instances are reached through it ({told}). Give those another way first. Nothing was deleted."
    )


def _locked_chain(jump: Instance, instance: Instance) -> list[int]:
    chain: list[int] = []
    at: int | None = jump.pk
    while at is not None:
        if at == instance.pk:
            raise JumpInvalid(f"{jump.name} is itself reached through {instance.name}: that would be a circle.")
        chain.append(at)
        if len(chain) > HOPS_LIMIT:
            raise JumpInvalid(f"A chain has at most {HOPS_LIMIT} jump hosts.")
        row = Instance.objects.select_for_update().filter(pk=at).values_list("jump_id").first()
        if row is None:
            raise JumpInvalid(f"{jump.name} was deleted by somebody else in the meantime.")
        at = row[0]
    return chain


def _height(instance: Instance) -> int:
    """Return how many instances stand one behind the other behind this one."""
    height, level = 0, Instance.objects.filter(jump=instance.pk) if instance.pk is not None else Instance.objects.none()
    # As subqueries, not lists of ids: SQLite takes 32,766 parameters in a statement.
    while height <= HOPS_LIMIT and level.exists():
        height, level = height + 1, Instance.objects.filter(jump__in=level.values("pk"))
    return height
