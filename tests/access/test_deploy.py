"""The console as it is deployed: behind https, in a process of its own with the settings of its environment."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.console import migrated

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
URL = "https://console.example.com"

ASK = """
import json
from django.test import Client
from console.members.models import User
from instances.access.models import Grant, Role
user = User(username="ada")
user.set_password("a long enough password")
user.save()
Grant.objects.create(user=user, role=Role.ADMINISTRATOR)
client = Client(headers={"host": "console.example.com"})
form = {"username": "ada", "password": "a long enough password"}
plain = client.get("/account/")
client.post("/sign-in/", form, secure=True)
# Leaves a message, which must not become a cookie.
client.post("/instances/check/", secure=True)
page = client.get("/account/", secure=True)
proxied = client.get("/account/", headers={"x-forwarded-proto": "https"})
foreign = client.get("/account/", secure=True, headers={"host": "evil.example"})
print(json.dumps({
    "plain": [plain.status_code, plain.url],
    "cookies": {name: morsel.OutputString() for name, morsel in client.cookies.items()},
    "page": [page.status_code, dict(page.headers)],
    "proxied": proxied.status_code,
    "foreign": foreign.status_code,
}))
"""


def manage(folder, *arguments, **environment):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}
    return subprocess.run(
        [sys.executable, "-W", "error", "manage.py", *arguments],
        cwd=ROOT,
        env={**inherited, "MUSTER_DATA": str(folder), **environment},
        text=True,
        capture_output=True,
        check=False,
    )


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    folder = shutil.copytree(migrated(), tmp_path_factory.mktemp("deployed") / "data")
    done = manage(folder, "shell", "-v", "0", "-c", ASK, MUSTER_URL=URL)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_django_finds_nothing_to_warn_of(tmp_path):
    done = manage(tmp_path, "check", "--deploy", "--fail-level", "WARNING", MUSTER_URL=URL)
    assert done.returncode == 0, done.stderr
    assert "no issues (0 silenced)" in done.stdout


def test_the_check_would_find_a_console_without_https(tmp_path):
    done = manage(tmp_path, "check", "--deploy", "--fail-level", "WARNING", MUSTER_URL="http://console.example.com")
    assert done.returncode != 0
    assert "SESSION_COOKIE_SECURE" in done.stderr


def test_cookies_are_bound_to_this_host_and_to_https(deployed):
    assert set(deployed["cookies"]) == {"__Host-sessionid", "__Host-csrftoken"}
    for cookie in deployed["cookies"].values():
        assert "; Secure" in cookie
        assert "; Path=/" in cookie
        assert "SameSite=Lax" in cookie
        assert "Domain" not in cookie
    assert "HttpOnly" in deployed["cookies"]["__Host-sessionid"]


def test_http_leads_to_https_and_https_is_remembered(deployed):
    assert deployed["plain"] == [301, f"{URL}/account/"]
    status, headers = deployed["page"]
    assert status == 200
    assert headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"


def test_the_proxy_in_front_says_that_it_was_https(deployed):
    assert deployed["proxied"] == 200


def test_another_host_is_not_answered_to(deployed):
    assert deployed["foreign"] == 400


@pytest.mark.parametrize("url", ["console.example.com", "https://console.example.com/muster", "ftp://x", "https://"])
def test_an_address_that_cannot_be_stops_the_start(url, tmp_path):
    done = manage(tmp_path, "check", MUSTER_URL=url)
    assert done.returncode != 0
    assert "MUSTER_URL must look like" in done.stderr
