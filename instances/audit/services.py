"""Writes audit rows."""

from typing import TYPE_CHECKING, Any

from django.db import transaction

from instances.audit.models import AuditEntry

if TYPE_CHECKING:
    from console.members.models import User


# Who acts when nobody does: what the console does by itself. No user name can hold a blank.
NOBODY = "the console"


def record(actor: "User | None", action: str, subject: str, **details: Any) -> AuditEntry:
    """Add an entry inside the caller's transaction, so that no action happens without its record.

    ``actor`` is None for what the console does by itself. ``details`` must be JSON and never hold a secret.
    Raises: TransactionManagementError outside a transaction.
    """
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("An audit entry belongs into its action's transaction.")
    name = NOBODY if actor is None else actor.get_username()
    return AuditEntry.objects.create(
        actor=actor, actor_name=name, action=action, subject=subject[:200], details=details
    )
