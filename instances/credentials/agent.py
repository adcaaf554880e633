"""Owns the look at the console's ssh-agent, for choosing which of its keys a credential may offer."""

import asyncio

from django.conf import settings

from instances.engine.errors import AgentUnavailable
from instances.engine.ssh_keys import Identity, agent_identities


def has_agent() -> bool:
    """Say whether an administrator gave the console an agent (MUSTER_AGENT_SOCKET)."""
    return bool(settings.ENV.agent_socket)


def identities() -> list[Identity]:
    """Return the keys the agent holds now; none while it does not answer. Call it in a thread, not on a loop."""
    if not has_agent():
        return []
    try:
        return asyncio.run(agent_identities(settings.ENV.agent_socket))
    except AgentUnavailable:
        return []
