import io
import json
import stat
import threading

import pytest
from django.core.management import call_command
from django.db import connection

from instances.access.models import Role
from instances.credentials import services, vault
from instances.credentials.models import Credential
from tests.support.factories import UserFactory

pytestmark = pytest.mark.django_db
SECRET = "correct horse battery"


def stored(name="db", secret=SECRET):
    return services.add_credential(
        UserFactory(role=Role.ADMINISTRATOR), name=name, kind="password", user_name="root", secret=secret
    )


def test_what_is_sealed_opens_for_its_owner():
    sealed = vault.seal(b"secret", owner="credential|1|secret")
    assert vault.open_sealed(sealed, owner="credential|1|secret") == b"secret"
    assert b"secret" not in sealed


def test_the_same_secret_is_never_sealed_the_same_way_twice():
    assert vault.seal(b"secret", owner="a") != vault.seal(b"secret", owner="a")


def test_the_key_ring_is_the_owners_alone(ring_folder):
    vault.seal(b"secret", owner="a")
    path = ring_folder / "keys.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(ring_folder.glob(".keys-*")) == []
    assert len(json.loads(path.read_text())["keys"]) == 1


@pytest.mark.parametrize("owner", ["credential|2|secret", "credential|1|passphrase", ""])
def test_it_opens_for_nobody_else(owner):
    sealed = vault.seal(b"secret", owner="credential|1|secret")
    with pytest.raises(vault.SealBroken):
        vault.open_sealed(sealed, owner=owner)


@pytest.mark.parametrize("position", [0, 1, 9, 21, -1])
def test_an_altered_value_does_not_open(position):
    sealed = bytearray(vault.seal(b"secret", owner="a"))
    sealed[position] ^= 1
    with pytest.raises(vault.SealBroken):
        vault.open_sealed(bytes(sealed), owner="a")


@pytest.mark.parametrize("length", [0, 1, 9, 20, 22, 36])
def test_a_cut_value_does_not_open(length):
    sealed = vault.seal(b"secret", owner="a")
    with pytest.raises(vault.SealBroken):
        vault.open_sealed(sealed[:length], owner="a")


def test_secrets_swapped_between_two_rows_do_not_open():
    one, two = stored("one", "first"), stored("two", "second")
    Credential.objects.filter(pk=one.pk).update(sealed_secret=two.sealed_secret)
    Credential.objects.filter(pk=two.pk).update(sealed_secret=one.sealed_secret)
    for credential in (one, two):
        credential.refresh_from_db()
        with pytest.raises(vault.SealBroken):
            services.auth_of(credential)
    with pytest.raises(vault.SealBroken, match="credential “one”"):
        vault.check_ring()


def test_two_processes_that_make_the_first_ring_at_once_share_one():
    together = threading.Barrier(8)

    def make() -> None:
        together.wait(60)
        vault._write([vault._new_key()], only_new=True)
        rings.append(vault._ring()[-1].id)

    rings: list[bytes] = []
    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(rings) == 8
    assert len(set(rings)) == 1


def test_a_key_is_not_in_its_repr():
    key = vault._new_key()
    assert "material" not in repr(key)


# ------------------------------------------------------------------ the check at the start


def test_a_fresh_installation_is_fine(ring_folder):
    vault.check_ring()
    assert not (ring_folder / "keys.json").exists()


def test_everything_that_opens_is_fine():
    stored()
    vault.check_ring()


def test_a_missing_ring_is_told_and_not_made_anew(ring_folder):
    stored()
    (ring_folder / "keys.json").unlink()
    with pytest.raises(vault.RingMissing, match=r"keys\.json is missing"):
        vault.check_ring()
    with pytest.raises(vault.RingMissing):
        stored("another")
    assert not (ring_folder / "keys.json").exists()


def test_the_ring_of_another_installation_is_told(ring_folder):
    stored()
    (ring_folder / "keys.json").unlink()
    vault._write([vault._new_key()])
    with pytest.raises(vault.SealBroken, match="credential “db”"):
        vault.check_ring()


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"keys": []}', '{"keys": [{"id": "00", "key": "AA==", "made_at": ""}]}', "\xff"]
)
def test_a_ring_that_cannot_be_read_is_told(ring_folder, content):
    stored()
    (ring_folder / "keys.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(vault.RingUnreadable):
        vault.check_ring()


# ------------------------------------------------------------------ rotation


def test_after_a_rotation_everything_is_under_the_new_key(ring_folder):
    credential = stored()
    assert vault.rotate() == 1
    assert vault.count_under_old_keys() == 0
    credential.refresh_from_db()
    assert services.auth_of(credential).password == SECRET
    assert len(json.loads((ring_folder / "keys.json").read_text())["keys"]) == 2
    vault.check_ring()


def test_a_value_from_before_the_rotation_still_opens():
    sealed = vault.seal(b"secret", owner="a")
    vault.rotate()
    assert vault.open_sealed(sealed, owner="a") == b"secret"


def test_old_keys_are_dropped_once_nothing_needs_them(ring_folder):
    credential = stored()
    vault.rotate()
    assert vault.drop_old_keys() == 1
    credential.refresh_from_db()
    assert services.auth_of(credential).password == SECRET
    vault.check_ring()


def test_old_keys_stay_while_a_secret_needs_them():
    credential = stored()
    former = credential.sealed_secret
    vault.rotate()
    Credential.objects.filter(pk=credential.pk).update(sealed_secret=former)
    with pytest.raises(vault.VaultError, match="1 secret is still sealed"):
        vault.drop_old_keys()
    vault.check_ring()


def test_a_secret_changed_during_the_rotation_is_not_overwritten():
    credential = stored()
    vault._write([*vault._ring(), vault._new_key()])
    in_hand = Credential.objects.get(pk=credential.pk)
    services.change_credential(
        UserFactory(), credential=credential, name="db", user_name="root", secret="changed meanwhile"
    )
    assert vault._seal_again(in_hand, "sealed_secret", vault.owner_of(in_hand.pk, "secret")) == 0
    credential.refresh_from_db()
    assert services.auth_of(credential).password == "changed meanwhile"


def test_the_command_rotates_and_drops():
    stored()
    out = io.StringIO()
    call_command("rotate_keys", stdout=out)
    call_command("rotate_keys", "--drop-old", stdout=out)
    assert out.getvalue().splitlines() == [
        "1 secret sealed with a new key; none left under older ones. Back up keys.json now.",
        "1 older key removed.",
    ]
    assert vault.count_under_old_keys() == 0


def test_the_command_tells_a_missing_ring(ring_folder, capsys):
    stored()
    (ring_folder / "keys.json").unlink()
    with pytest.raises(SystemExit) as ended:
        call_command("rotate_keys")
    assert ended.value.code == 2
    assert "keys.json is missing" in capsys.readouterr().err


def test_no_plain_text_is_in_the_database():
    stored(secret="canary-3f7a-secret")
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM instances_credential")
        assert "canary-3f7a" not in repr(cursor.fetchall())
