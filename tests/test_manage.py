"""The command line before a command has begun."""

import runpy
from pathlib import Path

import pytest
from django.core import management

MANAGE = Path(__file__).parents[1] / "manage.py"


def test_an_interrupt_while_it_starts_is_no_traceback(monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(management, "execute_from_command_line", interrupted)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(MANAGE), run_name="__main__")
    assert ended.value.code == 130
