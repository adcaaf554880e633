"""Gathers the app's models for Django; each belongs to the package that owns it."""

from console.members.models import SignInLink, User
from console.runs.models import Invocation, Output, Run, RunSecrets, WorkerLease
from console.saved_commands.models import SavedCommand

__all__ = ["Invocation", "Output", "Run", "RunSecrets", "SavedCommand", "SignInLink", "User", "WorkerLease"]
