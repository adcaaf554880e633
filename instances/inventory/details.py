"""Gathers what the page of one instance shows."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from instances.credentials.models import Credential
from instances.credentials.services import choices_for, is_suspended
from instances.host_keys.authorities import authorities_of
from instances.host_keys.models import HostAuthority, HostKey, HostKeyState
from instances.inventory.advice import advice_for
from instances.inventory.connection import ShownStep, shown_steps
from instances.inventory.jumps import chain_of
from instances.inventory.models import Instance, Reach
from instances.inventory.query import Term, visible

if TYPE_CHECKING:
    from console.members.models import User

FORMER_SHOWN = 50
FACT_LABELS = {
    "os": "Operating system",
    "kernel": "Kernel",
    "hostname": "Host name",
    "shell": "Shell",
    "user": "Signed in as",
}


@dataclass(frozen=True)
class Hop:
    """A jump host on the way to an instance; its page is only for those who may see it."""

    instance: Instance
    is_visible: bool


@dataclass(frozen=True)
class Details:
    """An instance with its credential (``source``: see credentials.Source), host keys, facts, and advice.

    ``former_keys`` were trusted once, the last first; ``authorities`` may vouch for it.
    ``chain``: its jump hosts, the first first. ``behind_count``: how many visible ones are reached through it,
    which ``behind_query`` finds in the list.
    ``is_suspended``: the credential was refused there so often that it is not offered until a person acts.
    """

    instance: Instance
    credential: Credential | None
    source: str
    is_suspended: bool
    host_keys: tuple[HostKey, ...]
    former_keys: tuple[HostKey, ...]
    authorities: tuple[HostAuthority, ...]
    facts: tuple[tuple[str, str], ...]
    advice: str
    steps: list[ShownStep]
    chain: tuple[Hop, ...]
    behind_count: int
    behind_query: str

    @property
    def is_unreachable(self) -> bool:
        """Whether the last check or run could not reach it, which the page says first."""
        return self.instance.reach == Reach.UNREACHABLE


def details_of(instance: Instance, user: "User") -> Details:
    """Return what the page of an instance shows."""
    credential, source = choices_for([instance])[instance.pk]
    chain = chain_of(instance)
    seen = set(visible(user).filter(pk__in=[hop.pk for hop in chain]).values_list("pk", flat=True)) if chain else set()
    keys = instance.host_keys.select_related("trusted_by", "ended_by").order_by("state", "-seen_at")
    facts = instance.facts if isinstance(instance.facts, dict) else {}
    return Details(
        instance=instance,
        credential=credential,
        source=source,
        is_suspended=credential is not None and is_suspended(credential, instance),
        host_keys=tuple(keys.exclude(state=HostKeyState.FORMER)),
        former_keys=tuple(keys.filter(state=HostKeyState.FORMER).order_by("-ended_at", "-pk")[:FORMER_SHOWN]),
        authorities=tuple(authorities_of(instance)),
        facts=tuple((label, str(facts[key])) for key, label in FACT_LABELS.items() if facts.get(key)),
        advice=advice_for(instance.reach_reason),
        steps=shown_steps(instance),
        chain=tuple(Hop(hop, hop.pk in seen) for hop in chain),
        behind_count=visible(user).filter(jump=instance, is_adhoc=False).count(),
        behind_query=str(Term("via", instance.name)),
    )
