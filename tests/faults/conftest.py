import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.console import Console, running_console
from tests.support.fleet import register
from tests.support.processes import Part, console_in_parts, kill_workers, start_web
from tests.support.sshd import Sshd, ordinary_user, running_sshd
from tests.support.visitor import Records, Visitor

INSTANCES = 20


def pytest_collection_modifyitems(items):
    for item in items:
        if item.nodeid.startswith("tests/faults/"):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.sshd)


@dataclass
class Stage:
    """A console whose workers the test starts and ends, instances behind a real sshd, and somebody signed in."""

    console: Console
    sshd: Sshd
    visitor: Visitor
    records: Records
    instances: list[int]
    folder: Path
    web: Part
    _tags: Iterator[int] = field(default_factory=itertools.count)

    def send(self, command: str, count: int, **options: object) -> tuple[int, Path]:
        """Send a command that first notes in a file per instance that it ran; return the run and the files' folder."""
        notes = self.folder / f"notes-{next(self._tags)}"
        notes.mkdir()
        notes.chmod(0o777)
        note = f'set -- $SSH_CONNECTION; echo ran >> "{notes}/$3"\n'
        return self.visitor.send(note + command, self.instances[:count], **options), notes

    def times_ran(self, run: int, notes: Path) -> list[int]:
        """How often the command ran on each instance, in the run's order, as the instances say."""
        files = (notes / row["address"].rpartition(":")[0] for row in self.records.invocations(run))
        return [len(file.read_text().splitlines()) if file.exists() else 0 for file in files]


@pytest.fixture(autouse=True)
def _no_worker_outlives_its_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """One left by a test that failed would take the next one's work."""
    yield
    stage = request.node.funcargs.get("stage")
    if stage is not None and not {"worker", "capped"} & set(request.fixturenames):
        kill_workers(stage.console)


@pytest.fixture(scope="session")
def sshd() -> Iterator[Sshd]:
    with running_sshd() as server:
        yield server


@pytest.fixture(scope="session")
def remote_user() -> Iterator[str]:
    with ordinary_user("musterflt") as name:
        yield name


@pytest.fixture(scope="module")
def console() -> Iterator[Console]:
    """A whole one under its supervisor; it ends with the file: one that has nothing to do is not free."""
    with running_console() as running:
        yield running


@pytest.fixture(scope="session")
def stage(sshd: Sshd, remote_user: str) -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="muster-stage-") as name, console_in_parts(Path(name)) as console:
        folder = Path(name)
        # The commands run as another user, whom pytest's own folders keep out.
        folder.chmod(0o755)
        instances = register(console, sshd, remote_user, INSTANCES)
        web = start_web(console)
        stage = Stage(console, sshd, Visitor(console), Records(folder), instances, folder, web)
        try:
            yield stage
        finally:
            stage.web.end()
