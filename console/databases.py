"""Owns which database the console uses: SQLite in the data folder, or the PostgreSQL that ``DATABASE_URL`` names."""

import contextlib
import ipaddress
import socket
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.db import connection

# Connections one process holds at most: pages and sockets share a few threads, a worker has one.
POOL_SIZE = 10
# As long as SQLite waits for a lock; then whoever waits is told, and a worker tries again.
LOCK_TIMEOUT_S = 20
CONNECT_TIMEOUT_S = 10

_FILE = "muster.sqlite3"
_FORM = "DATABASE_URL must look like postgres://user:password@host:5432/name."


def of(url: str, folder: Path) -> dict[str, Any]:
    """Return Django's settings of the database that ``url`` names; without one, of the file in the data folder.

    Raises: ImproperlyConfigured, which never repeats the password.
    """
    return _postgresql(url) if url else _sqlite(folder)


def networks_of(url: str) -> tuple[str, ...]:
    """Return the addresses the database answers on, each as a network; none for a file, a socket or this machine.

    Commands must not reach it as an instance. Side effects: looks the host's name up; one that cannot be found has no
    addresses.
    """
    host = str(of(url, Path())["HOST"]) if url else ""
    if not host or host.startswith("/"):
        return ()
    found: list[str] = []
    with contextlib.suppress(OSError):
        found = sorted({str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)})
    addresses = [ipaddress.ip_address(address.partition("%")[0]) for address in found]
    return tuple(str(ipaddress.ip_network(address)) for address in addresses if not address.is_loopback)


def close_to_others(folder: Path) -> None:
    """Let nobody but its owner read the file in the data folder: sessions that are signed in are in it, and output.

    The folder may have been made by somebody else, open to all. Side effects: makes the file if it is missing; what
    SQLite puts beside it gets the same mode.
    """
    file = folder / _FILE
    file.touch(mode=0o600)
    for part in (file, *folder.glob(f"{_FILE}-*")):
        part.chmod(0o600)


def leave_broken_connection() -> None:
    """Close this thread's connection if it no longer works: the next query makes a new one.

    For threads that serve no requests; Django looks after the others.
    """
    connection.close_if_unusable_or_obsolete()


class _Connection(sqlite3.Connection):
    """A connection to the file, which gets its form where it is new.

    SQLite makes two or three calls of the system for each page written: with 8 KiB storing output costs a quarter less.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.execute("PRAGMA page_count").fetchone() == (0,):
            # Both take hold before the first table only. Nor may auto_vacuum be set each time: that is a transaction
            # that writes, so every page would wait for whoever writes, and look like a change to all others.
            self.execute("PRAGMA page_size=8192")
            self.execute("PRAGMA auto_vacuum=INCREMENTAL")


def _sqlite(folder: Path) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": folder / _FILE,
        "OPTIONS": {
            # IMMEDIATE: deferred transactions that read before they write fail with "database is locked"
            # under load (619 of 960 in a measured contention test; none this way).
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "factory": _Connection,
            "init_command": (
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-20000; PRAGMA journal_size_limit=67108864;"
            ),
        },
        "TEST": {"NAME": folder / "test.sqlite3"},
    }


def _postgresql(url: str) -> dict[str, Any]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ImproperlyConfigured(_FORM) from None
    name = unquote(parts.path.removeprefix("/"))
    if parts.scheme not in {"postgres", "postgresql"} or not name:
        raise ImproperlyConfigured(_FORM)
    given = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        # A folder is where the server's socket lies: postgres:///name?host=/run/postgresql.
        "HOST": given.pop("host", unquote(parts.hostname or "")),
        "PORT": given.pop("port", str(port or "")),
        # Consumers give their connection back after every query: without a pool each would be a new one.
        "CONN_MAX_AGE": 0,
        # Asked for again when it is taken from the pool, so that the pages outlive a restart of the database.
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "pool": {"min_size": 1, "max_size": POOL_SIZE, "timeout": LOCK_TIMEOUT_S},
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "muster",
            # Without compiling: for a page that takes 30 ms it took 300 ms more, as often as the server guessed high.
            "options": f"-c lock_timeout={LOCK_TIMEOUT_S}s -c jit=off",
            # What libpq knows, such as sslmode=verify-full.
            **given,
        },
    }
