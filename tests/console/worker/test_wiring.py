"""A console as it is started: its worker takes up what people asked for besides commands."""

import pytest

from tests.support.authorized_keys import STRICT, Home, account_with_password
from tests.support.console import running_console
from tests.support.fleet import register
from tests.support.sshd import running_sshd
from tests.support.until import until
from tests.support.visitor import Records, Visitor

pytestmark = [pytest.mark.slow, pytest.mark.sshd]

ASK = """
from console.members.models import User
from console.transfers import services as transfers
from instances.authorise import services as keys
from instances.credentials.key_pairs import make_key_pair
from instances.inventory.models import Instance
admin = User.objects.get(username="admin")
instances = list(Instance.objects.filter(pk__in={numbers}))
made = make_key_pair(admin, name="made here", user_name={user!r})
keys.authorise(admin, credential=made, instances=instances[:1], line=keys.line_for(made), is_switching=True)
transfers.send_file(admin, instances=instances, upload=transfers.Upload("x", [b"content"]), path="~/sent",
                    overwrite="if_different", mode=None, owner="", limit_bytes=100)
"""
LOOK = "SELECT state, message FROM instances_placement UNION ALL SELECT state, message FROM console_delivery"


def test_a_running_console_places_keys_and_sends_files_when_it_is_asked_to():
    with account_with_password("musterwired") as user, running_sshd(Subsystem="sftp internal-sftp", **STRICT) as sshd:
        home = Home(user)
        home.write((sshd.folder / "user_key.pub").read_bytes())
        with running_console() as console:
            numbers = register(console, sshd, user, 2)
            visitor, records = Visitor(console), Records(console.folder)
            # By the way no key is placed.
            seen = home.file.stat()
            run = visitor.send("id -un", numbers)
            until(lambda: records.statuses(run) == ["succeeded"] * 2)
            now = home.file.stat()
            assert (now.st_mtime_ns, now.st_ino, now.st_size) == (seen.st_mtime_ns, seen.st_ino, seen.st_size)
            assert home.names() == ["authorized_keys"]

            console.shell(ASK, numbers=numbers, user=user)
            until(lambda: not {"queued", "running"} & {row["state"] for row in records.rows(LOOK)})
            rows = [tuple(row) for row in records.rows(LOOK)]
            run = visitor.send("cat ~/sent", numbers)
            until(lambda: records.statuses(run) == ["succeeded"] * 2)
            sent = [records.output(row["id"]) for row in records.invocations(run)]
        assert [state for state, _ in rows] == ["succeeded"] * 3, rows
        assert sent == [b"content"] * 2
        assert len(home.file.read_text().splitlines()) == 2
        assert "Accepted publickey" in sshd.log()
