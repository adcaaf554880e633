"""Pages over 10,000 instances: how many queries they take, how long, and that sending to all is one short step."""

import logging
import time

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from console.runs.models import Run
from instances.access.models import Group
from tests.support import factories, many

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
logger = logging.getLogger(__name__)
COUNT = 10_000
# In CPU time, of which a page that lists nothing takes about 10 ms: it is as slow as this machine is just now. Drawing
# every row would take hundreds of them.
PAGE, SENDING = 50, 600
LIST = {"HTTP_HX_REQUEST": "true", "HTTP_HX_TARGET": "section#instances"}
PAGES = [
    ("/", {}),
    ("/?page=100&sort=-state", {}),
    ("/?q=node-09", LIST),
    ("/?q=prod", LIST),
    ("/?q=env:prod+role:role-07&sort=address", LIST),
    ("/?q=-env:prod+state:reachable+group:west", LIST),
]


@pytest.fixture(scope="module")
def crowd(django_db_setup, django_db_blocker):
    """10,000 instances for all tests here; undone afterwards."""
    with django_db_blocker.unblock(), transaction.atomic():
        many.add_instances(COUNT, windows_every=20)
        yield
        transaction.set_rollback(True)


@pytest.fixture
def client(client, crowd):
    client.force_login(factories.UserFactory())
    return client


@pytest.mark.parametrize(("path", "headers"), PAGES)
def test_a_page_of_the_list_is_quick(client, path, headers):
    with CaptureQueriesContext(connection) as queries:
        assert client.get(path, **headers).status_code == 200
    assert len(queries) <= 15
    assert pages_taken(client, client.get, path, **headers) <= PAGE


def pages_taken(client, call, *arguments, tries=3, **options):
    """How many pages that list nothing could be drawn meanwhile, in the quickest of some tries."""
    took = min(seconds_of(call, *arguments, **options) for _ in range(tries))
    nothing = min(seconds_of(client.get, "/account/") for _ in range(3))
    logger.info("%s: %.3f s, nothing: %.3f s", arguments[0], took, nothing)
    return took / nothing


def seconds_of(call, *arguments, **options):
    begun = time.process_time()
    call(*arguments, **options)
    return time.process_time() - begun


def all_of_them(**changes):
    return {
        "by_query": "1",
        "everything": "1",
        "confirmed_count": COUNT,
        "query": "",
        "group": "",
        "expected_count": COUNT,
        "command": "true",
        "command_type": "shell",
        "request_key": "key",
        **changes,
    }


def test_the_dialog_counts_all_and_names_a_few(client):
    shown = client.get("/send/targets/", all_of_them()).content.decode()
    assert 'data-count="10000"' in shown
    assert shown.count('class="tag"') == 50
    assert "these and 9,950 more" in shown
    assert "will be skipped" not in shown
    assert len(shown) < 10_000


def test_sending_to_all_is_one_short_step(client):
    taken = pages_taken(client, client.post, "/send/", all_of_them(), tries=1)
    run = Run.objects.get()
    assert (run.target_count, run.counts) == (COUNT, {"queued": 9500, "skipped": 500})
    assert taken <= SENDING


def test_ids_of_all_are_one_field(client):
    ids = ",".join(map(str, many.Instance.objects.values_list("pk", flat=True)))
    response = client.post("/send/", all_of_them(by_query="", expected_count="", ids=ids))
    assert response.status_code == 302
    assert Run.objects.get().target_count == COUNT


def test_a_page_of_a_run_over_all_is_quick(client):
    address = f"/runs/{many.add_ended_run(COUNT)}/"
    panel = {"HTTP_HX_REQUEST": "true", "HTTP_HX_TARGET": "aside#panel"}
    pages = [f"{address}?page=200", f"{address}?status=failed&page=9", f"{address}?i=9998"]
    with CaptureQueriesContext(connection) as queries:
        client.get(pages[0], **panel)
    assert len(queries) <= 15
    assert max(pages_taken(client, client.get, page, **panel) for page in pages) <= PAGE


@pytest.mark.parametrize("kept", ["west", None])
def test_a_group_of_the_address_is_what_is_sent_to(client, kept):
    west = Group.objects.get(name="west")
    user = factories.UserFactory(selected_group=west if kept else None)
    client.force_login(user)
    # Of one rack, a quarter of which is in that group.
    asked, count = {"group": "" if kept else west.pk, "query": "rack:r7", "everything": ""}, 40 if kept else 10
    assert f'data-count="{count}"' in client.get("/send/targets/", all_of_them(**asked)).content.decode()
    client.post("/send/", all_of_them(**asked, expected_count=count, confirmed_count=count))
    assert Run.objects.get().target_count == count


def test_a_group_that_is_not_there_is_not_all(client):
    assert 'data-count="0"' in client.get("/send/targets/", all_of_them(group="987654")).content.decode()
    assert 'data-count="0"' in client.get("/send/targets/", all_of_them(group="x")).content.decode()


@pytest.mark.parametrize(
    ("query", "command_type", "skipped"),
    [("os:windows", "shell", 500), ("os:linux", "powershell", 9500), ("", "shell", 0), ("os:linux", "shell", 0)],
)
def test_who_is_skipped_goes_by_the_command_type(client, query, command_type, skipped):
    asked = all_of_them(query=query, command_type=command_type)
    shown = client.get("/send/targets/", asked).content.decode()
    assert ("All of them will be skipped" in shown) is bool(skipped)
    assert f"and {skipped - 50:,} more" in shown or not skipped


def test_the_dialog_counts_each_family(client):
    shown = client.get("/send/targets/", all_of_them()).content.decode()
    assert f'data-count="{COUNT}"' in shown
    assert 'data-posix="9500" data-windows="500"' in shown
