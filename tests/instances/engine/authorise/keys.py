"""The key that is placed, and its line."""

from instances.engine.authorise import line_of, try_out
from instances.engine.ssh import SSHTransport
from instances.engine.types import KeyAuth, Target
from tests.instances.credentials.keys import key_pair

PAIR = key_pair()
LINE = line_of(PAIR.public, comment="muster:deploy")
BLOB = PAIR.public.split()[1]
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKm8nZ7rJ0zN1i0p0QW1b8v1mE3c2t7lqN6Yv0pXwQzA someone@else"


async def signs_in(target: Target, account: str) -> None:
    auth = KeyAuth(account, PAIR.private.encode())
    connection = await SSHTransport().connect(Target(**(vars(target) | {"auth": auth})))
    try:
        await try_out(connection)
    finally:
        connection.close()
