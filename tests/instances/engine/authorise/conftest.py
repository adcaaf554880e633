"""An account whose ``~/.ssh`` is its own, on a server as on ordinary machines."""

from collections.abc import AsyncIterator, Iterator

import pytest

from instances.engine.ssh import SSHConnection, SSHTransport
from instances.engine.types import PasswordAuth, Target
from tests.support.authorized_keys import PASSWORD, STRICT, Home, account_with_password
from tests.support.sshd import Sshd, running_sshd


@pytest.fixture(scope="session")
def account() -> Iterator[str]:
    with account_with_password("musterauth") as name:
        yield name


@pytest.fixture(scope="session")
def strict_sshd() -> Iterator[Sshd]:
    with running_sshd(**STRICT) as server:
        yield server


@pytest.fixture
def home(account: str) -> Iterator[Home]:
    found = Home(account)
    found.clear()
    yield found
    found.clear()


@pytest.fixture
def target(strict_sshd: Sshd, account: str) -> Target:
    return strict_sshd.target(user=account, auth=PasswordAuth(account, PASSWORD))


@pytest.fixture
async def connection(target: Target) -> AsyncIterator[SSHConnection]:
    found = await SSHTransport().connect(target)
    yield found
    found.close()
    await found.wait_closed()
