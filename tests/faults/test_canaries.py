"""Canaries as password, key and passphrase: through every layer, with an error forced in each, and found nowhere."""

import base64
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from tests.instances.credentials.keys import KeyPair, key_pair
from tests.support.console import Console, running_console
from tests.support.sshd import Sshd, ordinary_user, running_sshd, set_password
from tests.support.until import until
from tests.support.visitor import Records, Visitor, contents_in

PASSWORD = "canary c4fe/pass+word"
PASSPHRASE = "canary 91d0/phrase+of it"
SEED = """
from console.members.models import User
from instances.credentials.models import Credential
from instances.engine.types import HostKey
from instances.host_keys import services as host_keys
from instances.inventory.models import Instance
admin = User.objects.get(username="admin")
for name, port in (("password", {port}), ("key", {port}), ("refused", 1), ("impostor", {port}), ("wrong", {port})):
    used = {{"password": "password", "key": "key"}}.get(name, "wrong" if name == "wrong" else "password")
    used = Credential.objects.get(name=used)
    one = Instance.objects.create(name=name, address="127.8.0.1", port=port, credential=used)
    key = {other!r} if name == "impostor" else {host_key!r}
    host_keys.trust(admin, host_keys=[host_keys.note_presented(one, HostKey.parse(key))])
"""


@pytest.fixture(scope="module")
def key() -> KeyPair:
    return key_pair("rsa", form="PEM", passphrase=PASSPHRASE)


@pytest.fixture(scope="module")
def someone() -> Iterator[str]:
    with ordinary_user("mustercanary") as name:
        set_password(name, PASSWORD)
        yield name


@pytest.fixture(scope="module")
def sshd(key: KeyPair) -> Iterator[Sshd]:
    with running_sshd(UsePAM="yes", PasswordAuthentication="yes", LogLevel="DEBUG3") as server:
        (server.folder / "user_key.pub").write_text(key.public)
        yield server


def needles(key: KeyPair) -> list[bytes]:
    """Each canary in the forms in which it could be written somewhere; of the key a line out of its middle."""
    plain = [PASSWORD, PASSPHRASE, key.private.splitlines()[12]]
    assert all(len(text) > 15 for text in plain)
    forms: list[Callable[[str], str]] = [
        str,
        quote,
        quote_plus,
        lambda text: base64.b64encode(text.encode()).decode().rstrip("=")[:-1],
        lambda text: text.encode().hex(),
        lambda text: text.replace("/", "\\/"),
    ]
    return [form(text).encode() for text in plain for form in forms]


def found(console: Console, key: KeyPair, places: dict[str, bytes]) -> list[str]:
    """Where a canary is to be seen: in pages, in any file of the console, in what the kernel tells of any process."""
    places |= contents_in(console.folder)
    for folder in Path("/proc").iterdir():
        for name in ("cmdline", "environ") if folder.name.isdigit() else ():
            try:
                places[f"{folder}/{name}"] = (folder / name).read_bytes()
            except OSError:
                continue
    wanted = needles(key)
    return [name for name, content in places.items() if any(needle in content for needle in wanted)]


@contextmanager
def without_table(console: Console, table: str) -> Iterator[None]:
    """The database fails whoever needs this table."""
    path = console.folder / "data" / "muster.sqlite3"

    def rename(before: str, after: str) -> None:
        with closing(sqlite3.connect(path, timeout=20)) as database, database:
            database.execute("PRAGMA legacy_alter_table = ON")
            database.execute(f"ALTER TABLE {before} RENAME TO {after}")

    rename(table, f"away_{table}")
    try:
        yield
    finally:
        rename(f"away_{table}", table)


def fields(name: str, kind: str, user: str, key: KeyPair) -> dict[str, str]:
    secret = {"password": PASSWORD} if kind == "password" else {"key": key.private, "passphrase": PASSPHRASE}
    return {"name": name, "kind": kind, "user_name": user, **secret}


def test_what_was_entered_is_found_nowhere_whatever_fails(someone: str, sshd: Sshd, key: KeyPair) -> None:
    with running_console() as console:
        visitor, records = Visitor(console), Records(console.folder)
        seen: dict[str, bytes] = {}

        def add(status: int, **form: str) -> None:
            answer = visitor.post("/credentials/add/", **form)
            assert answer.status == status, (status, answer)
            seen[f"answer {len(seen)}"] = answer.body + str(answer.headers).encode()

        # The form: refused, without its token, with the database failing under it, and taken.
        add(422, **fields("", "password", someone, key))
        add(422, **(fields("key", "key", someone, key) | {"passphrase": PASSPHRASE + "x"}))
        add(422, **(fields("key", "key", someone, key) | {"key": key.private[:-80]}))
        add(403, **(fields("key", "key", someone, key) | {"csrfmiddlewaretoken": "x"}))
        with without_table(console, "instances_auditentry"):
            for kind in ("password", "key"):
                add(503, **fields(kind, kind, someone, key))
        for name, kind, user in (
            ("password", "password", someone),
            ("key", "key", someone),
            ("wrong", "key", "no-such-user"),
        ):
            add(302, **fields(name, kind, user, key))
        other = key_pair("ecdsa").public
        script = SEED.format(port=sshd.port, host_key=sshd.host_key.line, other=other)
        console.shell(script)
        ids = [row["id"] for row in records.rows("SELECT id FROM instances_instance ORDER BY id")]

        def runs(command: str, **options: object) -> list[tuple[str, str]]:
            run = visitor.send(command, ids, **options)
            until(lambda: records.run(run)["finished_at"])
            seen[f"run {run}"] = visitor.get(f"/runs/{run}/").body
            return [(row["status"], row["reason"]) for row in records.invocations(run)]

        # The way: nothing listens, another host key, refused; and what a command itself can do wrong.
        unreached = [("unreachable", "refused"), ("unreachable", "host_key_changed"), ("unreachable", "auth_failed")]
        assert runs("true") == [("succeeded", "")] * 2 + unreached
        assert runs("true", working_directory="/no/such")[:2] == [("failed", "cwd_missing")] * 2
        # The worker: the database fails while it prepares, with the secrets opened.
        with without_table(console, "instances_credentialsuspension"):
            before = len(console.said())
            run = visitor.send("true", ids[:2])
            until(lambda: "did not answer" in console.said()[before:])
            assert found(console, key, {}) == []
        until(lambda: records.run(run)["finished_at"])
        # The vault: the keys are those of another console.
        ring = console.folder / "data" / "keys.json"
        kept = ring.read_text()
        ring.write_text(kept.replace(kept.split('"key": "')[1][:20], "A" * 20))
        until(lambda: ("unreachable", "credentials_missing") in runs("true"), every_s=1)
        ring.write_text(kept)
        for page in ("/credentials/", "/credentials/1/", "/credentials/2/", "/instances/1/", "/instances/2/", "/runs/"):
            answer = visitor.get(page)
            seen[page] = answer.body
        seen["sshd"] = sshd.log_path.read_bytes()
        assert len(seen) > 15
        assert found(console, key, seen) == []
        # The search finds what is there.
        (console.folder / "data" / "planted").write_text(PASSPHRASE)
        assert found(console, key, {}) == [str(console.folder / "data" / "planted")]
