from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db.utils import ConnectionHandler

from console import databases, env


def test_without_an_address_it_is_the_file_in_the_data_folder(tmp_path):
    assert databases.of("", tmp_path)["NAME"] == tmp_path / "muster.sqlite3"
    assert databases.networks_of("") == ()


@pytest.mark.parametrize("names", [(), ("muster.sqlite3", "muster.sqlite3-wal")], ids=["new", "there"])
def test_the_file_is_its_owners_alone_in_a_folder_that_is_open(tmp_path, names):
    tmp_path.chmod(0o755)
    for name in names:
        (tmp_path / name).write_bytes(b"as it was")
        (tmp_path / name).chmod(0o644)
    databases.close_to_others(tmp_path)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    assert all((tmp_path / name).read_bytes() == b"as it was" for name in names)


@pytest.mark.sqlite
@pytest.mark.django_db
def test_who_only_reads_waits_for_nobody_who_writes_and_looks_like_no_change(tmp_path):
    def ask(connection, statement):
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()

    def connected():
        given = databases.of("", tmp_path)
        return ConnectionHandler({"default": {**given, "OPTIONS": {**given["OPTIONS"], "timeout": 0}}})["default"]

    writer = connected()
    form = [ask(writer, f"PRAGMA {name}")[0] for name in ("page_size", "auto_vacuum", "journal_mode")]
    assert form == [8192, 2, "wal"]
    ask(writer, "CREATE TABLE kept (number integer)")
    seen = ask(writer, "PRAGMA data_version")
    assert ask(connected(), "SELECT count(*) FROM kept") == (0,)
    assert ask(writer, "PRAGMA data_version") == seen
    ask(writer, "BEGIN IMMEDIATE")
    assert ask(connected(), "SELECT count(*) FROM kept") == (0,)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://ann:word@db.example.com:6432/muster", ("muster", "ann", "word", "db.example.com", "6432")),
        ("postgresql://ann:a%40b%2Fc@db/my%20data", ("my data", "ann", "a@b/c", "db", "")),
        ("postgres:///muster?host=/run/postgresql", ("muster", "", "", "/run/postgresql", "")),
        ("postgres://[::1]/muster", ("muster", "", "", "::1", "")),
    ],
    ids=["whole", "quoted", "socket", "ipv6"],
)
def test_an_address_is_taken_apart(url, expected):
    found = databases.of(url, Path())
    assert tuple(found[name] for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT")) == expected


def test_what_the_library_knows_is_passed_on():
    options = databases.of("postgres://db/muster?sslmode=verify-full&connect_timeout=3", Path())["OPTIONS"]
    assert (options["sslmode"], options["connect_timeout"]) == ("verify-full", "3")
    assert "jit=off" in options["options"]


@pytest.mark.parametrize("url", ["mysql://ann:word@db/muster", "postgres://ann:word@db:x/muster", "postgres://db", "x"])
def test_what_is_no_address_is_refused_without_repeating_the_password(url):
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL must look like") as refused:
        databases.of(url, Path())
    assert "word@db" not in str(refused.value).replace("password@host", "")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.7", ("192.0.2.7/32",)),
        ("[2001:db8::5]", ("2001:db8::5/128",)),
        ("127.0.0.1", ()),
        ("localhost", ()),
        ("no-such-host.invalid", ()),
        ("", ()),
    ],
    ids=["ipv4", "ipv6", "loopback", "localhost", "unknown", "socket"],
)
def test_commands_cannot_reach_the_database_unless_it_is_on_this_machine(host, expected, monkeypatch):
    url = f"postgres://ann@{host}/muster"
    assert databases.networks_of(url) == expected
    monkeypatch.setenv("DATABASE_URL", url)
    assert env.read().denied_networks == (*env.LINK_LOCAL, *expected)
    monkeypatch.setenv("MUSTER_DENIED_NETWORKS", "10.0.0.0/8")
    assert env.read().denied_networks == ("10.0.0.0/8",)
