"""Gathers the app's models for Django; each belongs to the package that owns it."""

from console.history.models import SavedFilter
from console.members.models import SignInLink, User
from console.notifications.models import Destination, Notice
from console.runs.models import Invocation, Output, PromptedPassword, Run, RunSecrets, WorkerLease
from console.saved_commands.models import SavedCommand, SavedCommandVersion
from console.schedules.models import Firing, Schedule
from console.transfers.models import Delivery, Transfer

__all__ = [
    "Delivery",
    "Destination",
    "Firing",
    "Invocation",
    "Notice",
    "Output",
    "PromptedPassword",
    "Run",
    "RunSecrets",
    "SavedCommand",
    "SavedCommandVersion",
    "SavedFilter",
    "Schedule",
    "SignInLink",
    "Transfer",
    "User",
    "WorkerLease",
]
