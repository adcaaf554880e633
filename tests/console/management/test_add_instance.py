import io
import sys

import pytest
from django.core.management import call_command

from instances.access.models import Role
from instances.credentials.models import Credential
from instances.host_keys.models import HostKey
from instances.inventory.models import Instance
from tests.support import factories
from tests.support.ssh_server import new_key
from tests.support.sshd import running_sshd

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def sshd():
    with running_sshd() as server:
        yield server


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        call_command("add_instance", *arguments)
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert not Instance.objects.exists()
    assert not Credential.objects.exists()
    return err


def test_it_is_registered_with_group_os_and_tags(capsys):
    group = factories.GroupFactory(name="Berlin")
    call_command("add_instance", "mac", "10.0.0.4:2222", "--os", "macos", "--group", "Berlin", "--tag", "env=prod")
    row = Instance.objects.get()
    assert (row.name, row.address, row.port, row.os, row.group) == ("mac", "10.0.0.4", 2222, "macos", group)
    assert list(row.tags.values_list("key", "value")) == [("env", "prod")]
    assert row.check_requested_at is not None
    assert capsys.readouterr().out == "Added mac (10.0.0.4:2222).\n"


def test_a_password_is_read_from_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("a secret\n"))
    call_command("add_instance", "web", "deploy@10.0.0.4", "--password-stdin")
    credential = Instance.objects.get().credential
    assert (credential.kind, credential.user_name) == ("password", "deploy")


def test_a_key_with_its_passphrase(tmp_path, monkeypatch):
    file = tmp_path / "key"
    file.write_bytes(new_key(passphrase="open"))
    monkeypatch.setattr(sys, "stdin", io.StringIO("open\n"))
    call_command("add_instance", "web", "deploy@10.0.0.4", "--key", str(file), "--passphrase-stdin")
    assert Instance.objects.get().credential.fingerprint.startswith("SHA256:")


@pytest.mark.slow
@pytest.mark.sshd
def test_the_host_key_is_trusted_on_first_use_or_by_fingerprint(sshd, settings, capsys):
    factories.allow_localhost(settings)
    fingerprint = sshd.host_key.fingerprint
    call_command("add_instance", "one", f"root@127.1.0.1:{sshd.port}", "--trust-on-first-use")
    call_command("add_instance", "two", f"root@127.1.0.2:{sshd.port}", "--trust", fingerprint)
    assert capsys.readouterr().out.count(fingerprint) == 2
    assert list(HostKey.objects.values_list("state", "fingerprint")) == [("trusted", fingerprint)] * 2


@pytest.mark.slow
@pytest.mark.sshd
def test_another_fingerprint_is_refused_and_nothing_added(sshd, settings, capsys):
    factories.allow_localhost(settings)
    said = refused(capsys, "one", f"127.1.0.1:{sshd.port}", "--trust", "SHA256:" + "A" * 43)
    assert sshd.host_key.fingerprint in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["web", "http://x"], "Leave out"),
        (["web", "10.0.0.4", "--group", "Nowhere"], "There is no group"),
        (["web", "10.0.0.4", "--tag", "prod"], "is not a tag"),
        (["web", "10.0.0.4", "--password-stdin"], "Write user@host"),
        (
            ["web", "deploy@10.0.0.4", "--key", "/nonexistent"],
            "/nonexistent cannot be used: No such file or directory.",
        ),
        (["web", "deploy@10.0.0.4", "--key", "/bin/true"], "What was given is not UTF-8 text."),
        (["web", "10.0.0.4", "--passphrase-stdin"], "belongs to --key"),
        (["web", "127.0.0.1:1"], "closed to the console"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(monkeypatch, capsys, arguments, sentence):
    monkeypatch.setattr(sys, "stdin", io.StringIO("a secret\n"))
    assert sentence in refused(capsys, *arguments)


def test_a_viewer_may_not(capsys):
    factories.UserFactory(username="vera", role=Role.VIEWER)
    refused(capsys, "web", "10.0.0.4", "--as", "vera")


def test_nobody_listening_adds_nothing(settings, capsys):
    factories.allow_localhost(settings)
    refused(capsys, "web", "127.0.0.1:1", "--trust-on-first-use")
