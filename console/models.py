"""Gathers the app's models for Django; each belongs to the package that owns it."""

from console.history.models import SavedFilter
from console.members.models import SignInLink, User
from console.notifications.models import Destination, Notice
from console.recordings.models import Recording, RecordingPart
from console.runs.models import Invocation, Output, PromptedPassword, Run, RunSecrets, WorkerLease
from console.saved_commands.models import SavedCommand, SavedCommandVersion
from console.schedules.models import Firing, Schedule
from console.sessions.models import Session
from console.transfers.models import Delivery, Transfer

__all__ = [
    "Delivery",
    "Destination",
    "Firing",
    "Invocation",
    "Notice",
    "Output",
    "PromptedPassword",
    "Recording",
    "RecordingPart",
    "Run",
    "RunSecrets",
    "SavedCommand",
    "SavedCommandVersion",
    "SavedFilter",
    "Schedule",
    "Session",
    "SignInLink",
    "Transfer",
    "User",
    "WorkerLease",
]
