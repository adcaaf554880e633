import io
import sys
from types import SimpleNamespace

import pytest
from django.core.management import call_command

from instances.access.models import Role
from instances.engine.types import HostKey as PresentedKey
from instances.host_keys import services
from instances.host_keys.models import HostAuthority, HostKey, RevokedKey
from tests.support import factories

pytestmark = pytest.mark.django_db
KEYS = [PresentedKey("ssh-ed25519", factories.host_key_data(9_000_000 + number)) for number in range(5)]


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "known_hosts"
    file.write_text(
        f"{factories.hashed_name('10.0.0.4')} {KEYS[0].line}\n"
        f"10.0.0.5 {KEYS[1].line}\n"
        "broken\n"
        f"@cert-authority *.example.com {KEYS[2].line}\n"
        f"@revoked * {KEYS[3].line}\n"
        f"nobody {KEYS[4].line}\n"
    )
    return file


@pytest.fixture
def instances():
    web = factories.InstanceFactory(name="web", address="10.0.0.4")
    factories.HostKeyFactory(instance=factories.InstanceFactory(name="db", address="10.0.0.5"))
    return web


def test_it_says_what_it_would_do_and_does_nothing(file, instances, capsys):
    call_command("import_known_hosts", str(file))
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"Line 1: new web ssh-ed25519 {KEYS[0].fingerprint}",
        f"Line 2: changed db ssh-ed25519 {KEYS[1].fingerprint}",
        "Line 3: cannot be read: A line has the names, the kind of the key, and the key.",
        f"Line 4: an authority for *.example.com ssh-ed25519 {KEYS[2].fingerprint}",
        f"Line 5: to revoke: ssh-ed25519 {KEYS[3].fingerprint}",
        "Would import: 1 new, 1 changed (into the review), 1 authorities, 1 to revoke, 1 of no instance, "
        "1 unreadable. Nothing was done: add --apply.",
    ]
    assert HostKey.objects.count() == 1


def test_it_does_it(file, instances, capsys):
    group = factories.GroupFactory(name="Berlin")
    call_command("import_known_hosts", str(file), "--apply", "--group", "Berlin")
    assert "Imported: 1 new, 1 changed (into the review)" in capsys.readouterr().out
    assert services.trusted_keys(instances) == (KEYS[0],)
    assert HostKey.objects.get(state="changed").instance.name == "db"
    assert HostAuthority.objects.get().group == RevokedKey.objects.get().group == group


def test_changed_keys_are_replaced_when_told_to(instances, monkeypatch, capsys):
    stdin = SimpleNamespace(buffer=io.BytesIO(f"10.0.0.5 {KEYS[1].line}\n".encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    call_command("import_known_hosts", "-", "--apply", "--replace")
    assert "Imported: 1 changed (replacing)." in capsys.readouterr().out
    assert HostKey.objects.get(state="trusted").fingerprint == KEYS[1].fingerprint


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["/nowhere/known_hosts"], "No such file"),
        (["FILE", "--group", "Rome"], "There is no group Rome"),
        (["FILE", "--as", "nobody"], "There is no active user nobody"),
        (["FILE", "--as", "guest"], "not allowed to trust host keys"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_status_2(file, arguments, why, capsys):
    factories.UserFactory(username="guest", role=Role.OPERATOR)
    with pytest.raises(SystemExit) as ended:
        call_command("import_known_hosts", *[str(file) if word == "FILE" else word for word in arguments])
    assert ended.value.code == 2
    assert why in capsys.readouterr().err
