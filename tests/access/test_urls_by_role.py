"""Every URL of the site, asked for by everybody: who gets what is written in the table, and nothing else is true.

A URL without a row fails, so does a row without a URL. Each answer has the headers of every answer.
"""

import io
import re
import zipfile
from urllib.parse import urlsplit

import pytest
from django.urls import resolve

from tests.access import headers
from tests.access import world as worlds
from tests.access.table import AUDIT, EXPECTED, HEADER, ROWS, TO
from tests.access.world import ACTORS, SECRET

pytestmark = pytest.mark.django_db
METHODS = ("GET", "POST")
# A page, or a page with a form to correct.
SHOWN = {200, 422}
# Who sees none of the things.
STRANGERS = {"anonymous", "former", "roleless", "elsewhere"}
# Saved commands, with who keeps them, and destinations of notices are everybody's who has a role somewhere.
SHARED = {f"{SECRET}-saved", f"{SECRET}-administrator", f"{SECRET}-destination"}
ADMINISTRATORS_ONLY = {f"{SECRET}-credential", f"{SECRET}-member", f"{SECRET}-schedule"}
EVERYTHING = SHARED | ADMINISTRATORS_ONLY | {f"{SECRET}-{word}" for word in ("group", "instance", "command", "output")}
# Sessions are their owner's, and of who manages those of the group.
MANAGERS_ONLY = {f"{SECRET}-session"}
EVERYTHING |= MANAGERS_ONLY | {f"{SECRET}.example", f"{SECRET}-authority", f"{SECRET}-revoked"}
# The switch of groups is on every page, also on that of an error.
ON_EVERY_PAGE = {f"{SECRET}-group"}


def test_the_table_is_about_these_actors():
    assert tuple(HEADER[1:9]) == ACTORS


def test_every_url_has_its_rows_and_every_row_its_url():
    assert len(EXPECTED) == len(ROWS)
    assert set(EXPECTED) == {(name, method) for name in worlds.urls() for method in METHODS}


@pytest.mark.parametrize(("name", "method"), sorted(EXPECTED))
def test_everybody_gets_the_answer_of_the_table(name, method, world):
    answers, leaks = {}, {}
    worlds.prepare(name, world)
    for actor in ACTORS:
        client = worlds.client_of(actor, world)
        with worlds.undone() as changes:
            response = ask(client, name, method, world)
            headers.check(response)
            answers[actor] = said(response, TO.get((name, method)))
            leaks[actor] = words_in(response) - may_read(actor, response.status_code)
        if changes.is_any:
            answers[actor] += "!"
            assert AUDIT[name] in [*changes.audited, None]
    assert answers == EXPECTED[name, method]
    assert leaks == {actor: set() for actor in ACTORS}


def ask(client, name, method, world):
    path = worlds.path_of(name, world)
    return client.get(path) if method == "GET" else client.post(path, worlds.form_of(name, world))


def said(response, to):
    """The answer as the table writes it."""
    if response.status_code not in {301, 302, 303}:
        return str(response.status_code)
    name = resolve(urlsplit(response.url).path).url_name
    return ">" if name == to else name


def words_in(response):
    """Everything secret that an answer tells."""
    body = b"".join(response.streaming_content) if response.streaming else response.content
    if response.headers.get("Content-Type") == "application/zip":
        with zipfile.ZipFile(io.BytesIO(body)) as opened:
            body = b"\n".join(part for name in opened.namelist() for part in (name.encode(), opened.read(name)))
    return set(re.findall(rf"{SECRET}[-.]\w+", body.decode(errors="replace") + repr(dict(response.headers))))


def may_read(actor, status):
    """The secret words that an actor may be told."""
    if actor in STRANGERS:
        return SHARED if actor == "elsewhere" and status in SHOWN else set()
    if status not in SHOWN:
        return ON_EVERY_PAGE
    may = EVERYTHING if actor == "admin" else EVERYTHING - ADMINISTRATORS_ONLY
    return may - MANAGERS_ONLY if actor in {"viewer", "operator"} else may


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE"])
def test_no_url_takes_another_method(method, world, client):
    client.force_login(world.administrator)
    taken = {
        name: status
        for name in worlds.urls()
        if (status := client.generic(method, worlds.path_of(name, world)).status_code) != 405
    }
    assert taken == {}
