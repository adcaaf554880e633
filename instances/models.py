"""Gathers the app's models for Django; each belongs to the package that owns it."""

from instances.access.models import Grant, Group
from instances.audit.models import AuditEntry
from instances.authorise.models import Authorisation, Placement
from instances.credentials.models import Credential, CredentialSuspension, GroupCredential
from instances.host_keys.models import HostAuthority, HostKey, RevokedKey
from instances.inventory.models import Instance, Tag

__all__ = [
    "AuditEntry",
    "Authorisation",
    "Credential",
    "CredentialSuspension",
    "Grant",
    "Group",
    "GroupCredential",
    "HostAuthority",
    "HostKey",
    "Instance",
    "Placement",
    "RevokedKey",
    "Tag",
]
