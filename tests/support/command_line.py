"""``manage.py run`` in this process, as somebody types it."""

import pytest
from django.core.management import call_command

from console.management.commands.run import Command


def status_of(*arguments: str) -> int:
    """Run it; return its exit status."""
    with pytest.raises(SystemExit) as ended:
        call_command("run", *arguments)
    return int(ended.value.code or 0)


def typed(*words: str) -> int:
    """As from a shell: with what stands behind ``--``."""
    with pytest.raises(SystemExit) as ended:
        Command().run_from_argv(["manage.py", "run", *words])
    return int(ended.value.code or 0)
