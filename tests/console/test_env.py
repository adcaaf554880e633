import os
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from console import env
from tests.support.console import ROOT


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("MUSTER_OUTPUT_CAP", "1048576", "output_cap", 1024 * 1024),
        ("MUSTER_FILE_LIMIT", "1000", "file_limit", 1000),
        ("MUSTER_RETENTION_DAYS", "0", "retention_days", 0),
        ("MUSTER_WORKERS", "3", "workers", 3),
        ("MUSTER_ALLOW_LOCALHOST", "1", "allow_localhost", True),
        ("MUSTER_ALLOW_LOCALHOST", "Yes", "allow_localhost", True),
        ("MUSTER_ALLOW_LOCALHOST", "off", "allow_localhost", False),
        ("MUSTER_PORT", "8080", "origins", tuple(f"http://{name}:8080" for name in env.LOOPBACK_NAMES)),
        ("MUSTER_URL", "https://console.example.com/", "hosts", ("console.example.com",)),
        ("MUSTER_URL", "https://[::1]:8443", "origins", ("https://[::1]:8443",)),
        # As browsers write it.
        ("MUSTER_URL", "HTTPS://Console.example.com:443", "origins", ("https://console.example.com",)),
        ("MUSTER_URL", "HTTPS://Console.example.com:443", "secure", True),
    ],
)
def test_a_setting_is_read(name, value, field, expected, monkeypatch):
    monkeypatch.setenv(name, value)
    assert getattr(env.read(), field) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MUSTER_OUTPUT_CAP", "64 MiB"),
        ("MUSTER_OUTPUT_CAP", "1000"),
        ("MUSTER_FILE_LIMIT", "0"),
        ("MUSTER_RETENTION_DAYS", "-1"),
        ("MUSTER_RETENTION_DAYS", "36501"),
        ("MUSTER_RETENTION_BYTES", "all"),
        ("MUSTER_WORKERS", "0"),
        ("MUSTER_PORT", "http"),
        ("MUSTER_PORT", "65536"),
        ("MUSTER_ALLOW_LOCALHOST", "maybe"),
        ("MUSTER_URL", "console.example.com"),
        ("MUSTER_URL", "https://console.example.com/muster"),
        ("MUSTER_URL", "https://a:b@console.example.com"),
        ("MUSTER_URL", "https://console.example.com?x"),
        ("MUSTER_URL", "https://console.example.com:port"),
        ("MUSTER_URL", "https://console.example.com:65536"),
        ("MUSTER_URL", "https://console.example.com:0"),
        ("MUSTER_URL", "https://console.example.com:"),
        ("MUSTER_URL", "https://[::1"),
        ("MUSTER_URL", "https://*"),
        ("MUSTER_DENIED_NETWORKS", "10.0.0.1/8/8"),
        ("DATABASE_URL", "mysql://muster:secret-word@db/muster"),
        ("DATABASE_URL", "postgres://muster:secret-word@db:port/muster"),
        ("DATABASE_URL", "postgres://muster:secret-word@db/"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured, match=name):
        env.read()


def test_the_start_says_it_in_one_sentence(monkeypatch):
    monkeypatch.setenv("MUSTER_WORKERS", "many")
    done = subprocess.run([sys.executable, "manage.py", "serve"], cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "Muster's settings cannot be used. MUSTER_WORKERS must be a whole number of 1 or more.\n"


def test_a_command_without_a_console_says_so_in_one_sentence(tmp_path):
    done = subprocess.run(
        [sys.executable, "manage.py", "session", "list"],
        cwd=ROOT,
        env={**os.environ, "MUSTER_DATA": str(tmp_path)},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert "manage.py serve makes it" in done.stderr
    assert "Traceback" not in done.stderr
