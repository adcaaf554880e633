"""What commands wrote on instances is what the zip holds: through real SSH, compared with the hosts' own sha256sum."""

import hashlib
import json
import os
import pwd
import subprocess
import zipfile

import pytest
from django.core.management import call_command

from console.runs.models import Run
from instances.credentials.services import add_credential
from instances.engine.types import HostKey
from instances.host_keys import services as host_keys
from tests.support import factories
from tests.support.sshd import running_sshd

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sshd]


def test_three_files_come_back_with_the_bytes_of_their_hosts(settings, tmp_path, capfdbinary):
    settings.DATA_DIR = tmp_path
    factories.allow_localhost(settings)
    sources = [tmp_path / f"127.1.15.{number}" for number in (1, 2, 3)]
    for source in sources:
        source.write_bytes(os.urandom(200_000) + b"\r\n\xff\n")
    on_the_hosts = subprocess.run(["sha256sum", *sources], capture_output=True, text=True, check=True).stdout
    with running_sshd() as sshd:
        register(sshd, [source.name for source in sources])
        command = f"set -- $SSH_CONNECTION; cat {tmp_path}/$3; cat {tmp_path}/$3 | head -c 1000 >&2; exit 3"
        with pytest.raises(SystemExit):
            call_command("run", "--filter", "web", command)
    capfdbinary.readouterr()
    run = Run.objects.get()
    call_command("export_run", str(run.pk), "--format", "zip", "--output", str(tmp_path / "run.zip"))
    with zipfile.ZipFile(tmp_path / "run.zip") as opened:
        files = {name: opened.read(name) for name in opened.namelist()}
    manifest = json.loads(files[f"run-{run.pk}/manifest.json"])
    stdout = {file["instance"]: file for file in manifest["files"] if file.get("stream") == "stdout"}
    assert [(file["sha256"], file["matches"]) for _, file in sorted(stdout.items())] == [
        (line.split()[0], True) for line in on_the_hosts.splitlines()
    ]
    for source, name in zip(sources, sorted(stdout), strict=True):
        assert files[f"run-{run.pk}/{stdout[name]['path']}"] == source.read_bytes()
    stderr = [file for file in manifest["files"] if file.get("stream") == "stderr"]
    assert {file["sha256"] for file in stderr} == {
        hashlib.sha256(source.read_bytes()[:1000]).hexdigest() for source in sources
    }
    record = json.loads(files[f"run-{run.pk}/run.json"])
    assert [(row["status"], row["exit_status"]) for row in record["invocations"]] == [("failed", 3)] * 3


def register(sshd, addresses):
    admin = factories.UserFactory()
    key = add_credential(
        admin,
        name="fleet",
        kind="key",
        user_name=pwd.getpwuid(os.geteuid()).pw_name,
        secret=sshd.user_key.decode(),
        passphrase="",
    )
    for number, address in enumerate(addresses, start=1):
        one = factories.InstanceFactory(name=f"web-{number}", address=address, port=sshd.port, credential=key)
        row = host_keys.note_presented(one, HostKey.parse(sshd.host_key.line))
        host_keys.trust(admin, host_keys=[row])
