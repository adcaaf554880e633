"""A console as it is started: its worker takes up what people asked for besides commands."""

import json

import pytest

from tests.support.authorized_keys import STRICT, Home, account_with_password
from tests.support.console import running_console
from tests.support.fleet import register
from tests.support.sshd import running_sshd
from tests.support.until import until

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
LOOK = """
import json
from console.transfers.models import Delivery
from instances.authorise.models import Placement
print(json.dumps(sorted([row.state, row.message] for model in (Placement, Delivery) for row in model.objects.all())))
"""


def test_a_running_console_places_keys_and_sends_files():
    with account_with_password("musterwired") as user, running_sshd(Subsystem="sftp internal-sftp", **STRICT) as sshd:
        home = Home(user)
        home.write((sshd.folder / "user_key.pub").read_bytes())
        with running_console() as console:
            numbers = register(console, sshd, user, 2)
            console.manage("shell", "-v", "0", "-c", ASK.format(numbers=numbers, user=user))

            def ended():
                rows = json.loads(console.manage("shell", "-v", "0", "-c", LOOK))
                return rows if all(state not in {"queued", "running"} for state, _ in rows) else None

            rows = until(ended, 60, every_s=1)
            out = console.manage("run", "--filter", f"name:{user}", "cat ~/sent; echo")
        assert [state for state, _ in rows] == ["succeeded"] * 3, rows
        assert out.count("content") == 2
        assert len(home.file.read_text().splitlines()) == 2
        assert "Accepted publickey" in sshd.log()
