"""The settings an administrator gives through the environment: read once, here, and nowhere else.

docs/reference/settings.md lists every variable; a test compares the two.
"""

import ipaddress
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from console import databases

BASE_DIR = Path(__file__).resolve().parent.parent
# A hundred years; 0 is how to say for ever.
RETENTION_DAYS_LIMIT = 36_500
# The kept tail has to fit, and something before it.
LEAST_OUTPUT_CAP = 512 * 1024
# A month: what is kept open longer was forgotten.
SESSION_LIMIT_S = 31 * 24 * 3600
_YES, _NO = {"yes", "y", "true", "on", "ok", "1"}, {"no", "n", "false", "off", "0", ""}
# Addresses of a cloud's metadata service among them.
LINK_LOCAL = ("169.254.0.0/16", "fe80::/10")
_HOST = re.compile(r"\[[0-9a-f:.]+\]|[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_USUAL_PORTS = {"http": 80, "https": 443}
_URL_RULE = (
    "MUSTER_URL must look like https://console.example.com or http://10.0.0.5:8000: a host, and a port if need be, "
    "without a user name and without a path."
)
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class Env:
    """What was read.

    Units: ``output_cap``, ``file_limit`` and ``retention_bytes`` are bytes, ``retention_days`` and
    ``recording_days`` days, ``…_s`` seconds.
    """

    data: Path
    database_url: str
    url: str
    secure: bool
    hosts: tuple[str, ...]
    origins: tuple[str, ...]
    admin_password: str
    allow_localhost: bool
    output_cap: int
    file_limit: int
    retention_days: int
    retention_bytes: int
    recording_days: int
    denied_networks: tuple[str, ...]
    workers: int
    agent_socket: str
    email_url: str
    email_from: str
    confirm_above: int
    confirm_tags: tuple[str, ...]
    session_idle_s: int
    session_age_s: int
    session_grace_s: int
    sessions_per_user: int
    sessions_per_instance: int


def default_workers() -> int:
    """Return how many workers ``serve`` starts unless told: one core is left for the web process."""
    return max(1, (os.cpu_count() or 2) - 1)


def read() -> Env:
    """Read the variables.

    Raises: ImproperlyConfigured, naming the variable, when a value cannot be used.
    """
    env = environ.Env()
    url = env.str("MUSTER_URL", "").rstrip("/").lower()
    database_url = env.str("DATABASE_URL", "")
    hosts, origins = _hosts_and_origins(url, _number(env, "MUSTER_PORT", 8000, least=1, most=65_535))
    return Env(
        data=Path(env.str("MUSTER_DATA", str(BASE_DIR / "data"))).expanduser().resolve(),
        database_url=database_url,
        url=url or origins[0],
        secure=url.startswith("https://"),
        hosts=hosts,
        origins=origins,
        admin_password=env.str("MUSTER_ADMIN_PASSWORD", ""),
        allow_localhost=_yes_or_no(env, "MUSTER_ALLOW_LOCALHOST"),
        output_cap=_number(env, "MUSTER_OUTPUT_CAP", 64 * 1024 * 1024, least=LEAST_OUTPUT_CAP),
        file_limit=_number(env, "MUSTER_FILE_LIMIT", 1024**3, least=1),
        retention_days=_number(env, "MUSTER_RETENTION_DAYS", 90, most=RETENTION_DAYS_LIMIT),
        retention_bytes=_number(env, "MUSTER_RETENTION_BYTES", 10 * 1024**3),
        recording_days=_number(env, "MUSTER_RECORDING_DAYS", 90, most=RETENTION_DAYS_LIMIT),
        denied_networks=_denied_networks(env, database_url),
        workers=_number(env, "MUSTER_WORKERS", default_workers(), least=1),
        agent_socket=env.str("MUSTER_AGENT_SOCKET", ""),
        email_url=_email_url(env),
        email_from=env.str("MUSTER_EMAIL_FROM", "muster@localhost"),
        confirm_above=_number(env, "MUSTER_CONFIRM_ABOVE", 50),
        confirm_tags=_tags(env.list("MUSTER_CONFIRM_TAGS", default=[])),
        session_idle_s=_number(env, "MUSTER_SESSION_IDLE_S", 2 * 3600, least=10, most=SESSION_LIMIT_S),
        session_age_s=_number(env, "MUSTER_SESSION_AGE_S", 24 * 3600, least=10, most=SESSION_LIMIT_S),
        session_grace_s=_number(env, "MUSTER_SESSION_GRACE_S", 4 * 3600, most=SESSION_LIMIT_S),
        sessions_per_user=_number(env, "MUSTER_SESSIONS_PER_USER", 50),
        sessions_per_instance=_number(env, "MUSTER_SESSIONS_PER_INSTANCE", 20),
    )


def email_settings(url: str) -> dict[str, object]:
    """Return Django's EMAIL_* settings for an address such as ``smtp+tls://user:password@host:587``."""
    return dict(environ.Env.email_url_config(url)) if url else {}


def secret(path: Path) -> str:
    """Return the secret kept in a file, made on first use with mode 0600.

    Side effects: creates the file and its folder (0700) when missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(handle, "w") as file:
        value = secrets.token_urlsafe(50)
        file.write(value)
    return value


def _hosts_and_origins(url: str, port: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if not url:
        return LOOPBACK_NAMES, tuple(f"http://{name}:{port}" for name in LOOPBACK_NAMES)
    try:
        parts = urlsplit(url)
        host, number = parts.hostname or "", parts.port
    except ValueError:
        raise ImproperlyConfigured(_URL_RULE) from None
    host = f"[{host}]" if ":" in host else host
    there = host if number is None else f"{host}:{number}"
    # Anything besides, such as user:password@, would be in every link, and in an origin that no browser has.
    if not _HOST.fullmatch(host) or number == 0 or url not in {f"http://{there}", f"https://{there}"}:
        raise ImproperlyConfigured(_URL_RULE)
    is_usual = number == _USUAL_PORTS[parts.scheme]
    return (host,), (f"{parts.scheme}://{host if is_usual else there}",)


def _number(env: environ.Env, name: str, default: int, *, least: int = 0, most: int | None = None) -> int:
    try:
        value = int(env.str(name, str(default)))
    except ValueError:
        value = least - 1
    if value < least or (most is not None and value > most):
        raise ImproperlyConfigured(
            f"{name} must be a whole number of {least} or more{'' if most is None else f', up to {most}'}."
        )
    return value


def _email_url(env: environ.Env) -> str:
    url = env.str("MUSTER_EMAIL_URL", "")
    if url:
        try:
            environ.Env.email_url_config(url)
        except (ImproperlyConfigured, KeyError, ValueError) as error:
            raise ImproperlyConfigured(
                "MUSTER_EMAIL_URL must look like smtp+tls://user:password@mail.example.com:587."
            ) from error
    return url


def _yes_or_no(env: environ.Env, name: str) -> bool:
    value = env.str(name, "no").strip().lower()
    if value not in _YES | _NO:
        raise ImproperlyConfigured(f"{name} must be yes or no.")
    return value in _YES


def _denied_networks(env: environ.Env, database_url: str) -> tuple[str, ...]:
    given = env.list("MUSTER_DENIED_NETWORKS", default=None)
    if given is None:
        return (*LINK_LOCAL, *databases.networks_of(database_url))
    return _networks(given)


def _tags(values: list[str]) -> tuple[str, ...]:
    tags = tuple(value.strip() for value in values if value.strip())
    for tag in tags:
        if not tag.partition("=")[0].strip():
            raise ImproperlyConfigured(f"MUSTER_CONFIRM_TAGS: {tag} is not a tag such as env=prod, or a key.")
    return tags


def _networks(values: list[str]) -> tuple[str, ...]:
    for value in values:
        try:
            ipaddress.ip_network(value)
        except ValueError as error:
            raise ImproperlyConfigured(
                f"MUSTER_DENIED_NETWORKS: {value} is not a network such as 10.0.0.0/8."
            ) from error
    return tuple(values)
