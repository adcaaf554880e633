"""Owns what a kept shell is to be."""

from dataclasses import dataclass
from uuid import UUID

from instances.engine.types import CommandType


@dataclass(frozen=True)
class ShellWish:
    """One shell to keep on one machine; ``marker`` must be new for every one.

    ``interpreter``: empty for bash where there is one, else sh; on Windows for Windows PowerShell.
    """

    marker: UUID
    command_type: CommandType = CommandType.SHELL
    interpreter: str = ""
    working_directory: str = ""
