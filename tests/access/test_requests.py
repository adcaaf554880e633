"""What holds for every request and every answer: tokens, headers, caching, cookies, and where a redirect may lead."""

import re

import pytest
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.urls import reverse

from console.history import views
from tests.access import headers
from tests.access import world as worlds
from tests.access.table import EXPECTED
from tests.access.world import SECRET
from tests.support import factories
from tests.support.site import browser

pytestmark = pytest.mark.django_db
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
PASSPHRASE = "a long enough passphrase"


@pytest.fixture
def admin(world):
    return worlds.client_of("admin", world)


# ------------------------------------------------------------------ the token of forms


@pytest.mark.parametrize("name", sorted(worlds.urls()))
def test_nothing_is_taken_without_the_token(name, world):
    client = worlds.client_of("admin", world, enforce_csrf_checks=True)
    client.cookies[settings.CSRF_COOKIE_NAME] = "a" * 32
    with worlds.undone() as changes:
        for method in UNSAFE:
            response = client.generic(method, worlds.path_of(name, world), b"do=role&role=viewer")
            assert response.status_code == 403
            assert "load the page again" in response.content.decode()
            assert response.headers["X-Refused"] == "csrf"
    assert not changes.is_any


def token_of(client):
    page = client.get(reverse("account")).content.decode()
    return re.search(r'"X-CSRFToken": "(\w+)"', page)[1]


@pytest.mark.parametrize(
    ("sent", "status", "told"),
    [
        ({}, 302, ""),
        ({"Origin": "http://testserver"}, 302, ""),
        ({"Origin": "https://evil.example"}, 403, "MUSTER_URL"),
        ({"Origin": "null"}, 403, "MUSTER_URL"),
    ],
)
def test_the_token_counts_only_from_the_consoles_own_pages(sent, status, told, world):
    client = worlds.client_of("admin", world, enforce_csrf_checks=True)
    sent = {"X-CSRFToken": token_of(client), **sent}
    response = client.post(worlds.path_of("stop-run", world), headers=sent)
    assert response.status_code == status
    assert told in response.content.decode()


def test_who_takes_no_cookies_is_told_so(world):
    response = worlds.client_of("admin", world, enforce_csrf_checks=True).post(reverse("sign-out"))
    assert "Allow cookies" in response.content.decode()


# ------------------------------------------------------------------ headers; those of every URL: test_urls_by_role.py


@pytest.mark.parametrize("name", sorted({name for name, _ in EXPECTED}))
def test_head_is_get_without_a_body(name, world, admin):
    path = worlds.path_of(name, world)
    asked, got = admin.head(path), admin.get(path)
    assert asked.status_code == got.status_code
    assert asked.headers.get("Location") == got.headers.get("Location")
    assert b"".join(asked) == b""


def broken(*_):
    raise RuntimeError(f"{SECRET} in a traceback")


KINDS = {
    "a part for htmx": (200, lambda client: client.get("/", headers={"HX-Request": "true", "HX-Target": "instances"})),
    "not found": (404, lambda client: client.get("/nothing/here/")),
    "not allowed": (403, lambda client: client.get("/people/")),
    "wrong method": (405, lambda client: client.get("/sign-out/")),
    "a form with errors": (422, lambda client: client.post("/send/", {"command": ""})),
    "without a slash": (301, lambda client: client.get("/account")),
    "an error of ours": (500, lambda client: client.get("/runs/")),
    "a host of somebody else": (400, lambda client: client.get("/", headers={"Host": "evil.example"})),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_answer_has_the_headers(kind, world, monkeypatch):
    monkeypatch.setattr(views, "filtered", broken)
    client = worlds.client_of("operator", world)
    client.raise_request_exception = False
    status, ask = KINDS[kind]
    response = ask(client)
    assert response.status_code == status
    headers.check(response)
    assert "in a traceback" not in response.content.decode()


def test_visitors_get_the_headers_too(world):
    client = browser()
    for path in ("/", "/sign-in/", "/nothing/", "/health/", "/first/spent/", "/first/"):
        headers.check(client.get(path))


def test_static_files_may_be_kept_and_set_no_cookie(world, admin):
    for path, kind in (
        ("js/main.js", "text/javascript"),
        ("css/base.css", "text/css"),
        ("img/favicon.svg", "image/svg"),
    ):
        response = admin.get(f"/static/{path}")
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith(kind)
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "no-store" not in response.headers["Cache-Control"]
        assert not response.cookies
        # Read to its end, which closes the file; to close it by hand would close the database too.
        assert b"".join(response)


def test_no_static_path_leads_out_of_the_folder(admin):
    for path in ("../manage.py", "%2e%2e/manage.py", "..%2fmanage.py", "js/../../manage.py", "/etc/passwd"):
        assert admin.get(f"/static/{path}").status_code == 404


# ------------------------------------------------------------------ cookies


def test_cookies_are_kept_from_scripts_and_other_sites(world):
    user = factories.UserFactory(password=make_password(PASSPHRASE))
    client = browser()
    client.get(reverse("sign-in"))
    client.post(reverse("sign-in"), {"username": user.username, "password": PASSPHRASE})
    client.post(reverse("check-instances"))
    assert set(client.cookies) == {settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME}
    session = client.cookies[settings.SESSION_COOKIE_NAME]
    assert (session["httponly"], session["samesite"], session["path"], session["domain"]) == (True, "Lax", "/", "")
    assert 0 < session["max-age"] <= 12 * 3600
    assert client.cookies[settings.CSRF_COOKIE_NAME]["samesite"] == "Lax"


# ------------------------------------------------------------------ where one is sent

ELSEWHERE = (
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "http:evil.example",
    "javascript:alert(1)",
)
# Names of URLs, which Django's redirect would look up.
NO_PATHS = ("people", "no such name")
# The sign-in has a test of its own.
REDIRECTS = sorted(
    {name for (name, method), to in EXPECTED.items() if method == "POST" and ">" in to["admin"]} - {"sign-in"}
)


@pytest.mark.parametrize("name", REDIRECTS)
def test_no_form_leads_to_another_site(name, world):
    worlds.prepare(name, world)
    form = worlds.form_of(name, world)
    own = location("admin", name, world, form)
    for wanted in (*ELSEWHERE, *NO_PATHS):
        assert location("admin", name, world, {**form, "next": wanted}) == own


@pytest.mark.parametrize("wanted", ELSEWHERE)
def test_the_sign_in_leads_to_no_other_site(wanted, world):
    user = factories.UserFactory(password=make_password(PASSPHRASE))
    form = {"username": user.username, "password": PASSPHRASE, "next": wanted}
    assert location("anonymous", "sign-in", world, form) == reverse("home")
    signed_in = worlds.client_of("viewer", world)
    assert signed_in.get(reverse("sign-in"), {"next": wanted}).url == reverse("home")


def location(actor, name, world, form):
    """Where a form leads; what it does is undone."""
    with transaction.atomic():
        response = worlds.client_of(actor, world).post(worlds.path_of(name, world), form)
        assert response.status_code == 302
        transaction.set_rollback(True)
    # A new row has another number each time.
    return re.sub(r"\d+", "N", response.url)


def test_a_form_leads_back_to_the_page_it_came_from(world, admin):
    response = admin.post(reverse("check-instances"), {"ids": [world.ids["instance_id"]], "next": "/?q=env%3Aprod"})
    assert response.url == "/?q=env%3Aprod"


def test_what_a_visitor_sent_is_not_where_the_sign_in_leads(world):
    assert browser().post(worlds.path_of("stop-run", world)).url == reverse("sign-in")
