"""Gathers what the page of one instance shows."""

from dataclasses import dataclass

from instances.credentials.models import Credential
from instances.credentials.services import choices_for, is_suspended
from instances.host_keys.models import HostKey
from instances.inventory.advice import advice_for
from instances.inventory.connection import ShownStep, shown_steps
from instances.inventory.models import Instance, Reach

FACT_LABELS = {
    "os": "Operating system",
    "kernel": "Kernel",
    "hostname": "Host name",
    "shell": "Shell",
    "user": "Signed in as",
}


@dataclass(frozen=True)
class Details:
    """An instance with its credential (``source``: see credentials.Source), host keys, facts, and advice.

    ``is_suspended``: the credential was refused there so often that it is not offered until a person acts.
    """

    instance: Instance
    credential: Credential | None
    source: str
    is_suspended: bool
    host_keys: tuple[HostKey, ...]
    facts: tuple[tuple[str, str], ...]
    advice: str
    steps: list[ShownStep]

    @property
    def is_unreachable(self) -> bool:
        """Whether the last check or run could not reach it, which the page says first."""
        return self.instance.reach == Reach.UNREACHABLE


def details_of(instance: Instance) -> Details:
    """Return what the page of an instance shows."""
    credential, source = choices_for([instance])[instance.pk]
    facts = instance.facts if isinstance(instance.facts, dict) else {}
    return Details(
        instance=instance,
        credential=credential,
        source=source,
        is_suspended=credential is not None and is_suspended(credential, instance),
        host_keys=tuple(instance.host_keys.select_related("trusted_by").order_by("state", "-seen_at")),
        facts=tuple((label, str(facts[key])) for key, label in FACT_LABELS.items() if facts.get(key)),
        advice=advice_for(instance.reach_reason),
        steps=shown_steps(instance),
    )
