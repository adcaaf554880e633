"""A process that runs one script after the other in a console's environment: Django takes longer to load than most.

``python -m tests.support.scripts`` reads a script from each line, as JSON, and answers with what it printed.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Scripts:
    """The test's end of that process."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.scripts"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str) -> str:
        """Return what a script printed. Raises: AssertionError with its traceback."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(script) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert not answer["error"], answer["error"]
        return str(answer["said"])

    def end(self) -> None:
        """Let it end."""
        self._process.communicate()


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    import django

    django.setup()
    for line in sys.stdin:
        said, error = io.StringIO(), ""
        try:
            with contextlib.redirect_stdout(said):
                exec(json.loads(line), {"__name__": "script"})
        except Exception:  # noqa: BLE001  (whatever it was, the test is told)
            error = traceback.format_exc()
        _leave_the_database()
        sys.stdout.write(json.dumps({"said": said.getvalue(), "error": error}) + "\n")
        sys.stdout.flush()


def _leave_the_database() -> None:
    from django.db import connection

    # What happens to it until the next script is the test's business.
    connection.close()


if __name__ == "__main__":
    main()
