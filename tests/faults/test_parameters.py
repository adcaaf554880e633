"""Parameters through a whole console and a real sshd: byte for byte, never run, the secret one seen by nobody."""

import base64
from urllib.parse import quote

import pytest

from tests.faults.conftest import Stage
from tests.faults.test_secrets import command_lines, everything_kept, page_of
from tests.support.processes import start_worker
from tests.support.until import until

SECRET = "p4r/m+of the whole c0nsole"
TEXT = """\
mark=script-{mark}
printf '%s\\n' {{{{x}}}}
printf '%s\\n' '{{{{token}}}}' | base64 | tr -d '\\n'
printf ' %s\\n' "$PARAM_token"
echo "{{{{instance.name}}}} {{{{site}}}}"
while [ ! -e {{{{gate}}}} ]; do sleep 0.1; done
"""
SEED = """
from console.members.models import User
from console.saved_commands import services
from console.saved_commands.content import Content, Details
from instances.inventory.models import Instance, Tag
admin = User.objects.get(username="admin")
declared_ones = [
    {{"name": "x", "required": True}},
    {{"name": "gate"}},
    {{"name": "token", "type": "secret"}},
    {{"name": "site", "type": "attribute", "default": "instance.tags.site"}},
]
saved = services.keep(admin, details=Details("Told"), content=Content(text={text!r}, parameters=declared_ones))
for pk in {ids}[1:]:
    Tag.objects.create(instance_id=pk, key="site", value=f"site-{{pk}}")
print(saved.latest_id)
"""


@pytest.fixture(scope="module")
def worker(stage: Stage):
    part = start_worker(stage.console)
    yield part
    assert part.end() == 0


def test_values_arrive_to_the_byte_each_instance_gets_its_own_and_no_secret_is_anywhere(stage, worker):
    ids, folder = stage.instances[:3], stage.folder
    gate, canary = folder / "gate of it's own", folder / "pwn"
    # What runs there runs as another user: it could write the canary.
    folder.chmod(0o777)
    # ACCEPTANCE.md, A23.
    value = f"a'b\"; touch {canary} #$(touch {canary})`touch {canary}`"
    text = TEXT.format(mark="0b3f")
    version = stage.console.shell(SEED, text=text, ids=ids).strip()
    run = stage.visitor.send(text, ids, saved_version=version, param_x=value, param_gate=str(gate), param_token=SECRET)
    encoded = base64.b64encode(f"{SECRET}\n".encode())
    rows = stage.records.invocations(run)
    until(lambda: all(stage.records.output(row["id"]).count(b"\n") >= 3 for row in stage.records.invocations(run)))
    for line in command_lines():
        assert not any(word in line for word in (SECRET.encode(), b"script-0b3f", value.encode()))
    pages = [f"/runs/{run}/", "/runs/", f"/send/?again={run}&which=all", f"/send/parameters/?saved_version={version}"]
    seen = [page_of(stage, page) for page in pages]
    gate.touch()
    until(lambda: stage.records.run(run)["finished_at"])
    assert stage.records.statuses(run) == ["succeeded"] * 3
    for row, pk in zip(rows, ids, strict=True):
        first, second, third = stage.records.output(row["id"]).decode().splitlines()
        assert first == value
        assert second.endswith(" ***")
        assert second.encode().split()[0] != encoded
        assert third.split() == [row["instance_name"], *([f"site-{pk}"] if pk != ids[0] else [])]
    assert not canary.exists()
    kept = stage.records.run(run)
    assert "${PARAM_x}" in kept["command"]
    assert value not in kept["command"]
    assert stage.records.rows("SELECT * FROM console_runsecrets") == []
    seen += [page_of(stage, page) for page in [*pages, f"/runs/{run}/output/0/"]]
    for place in (*seen, *everything_kept(stage)):
        for form in (SECRET, quote(SECRET), encoded.decode()[:24]):
            assert form.encode() not in place
