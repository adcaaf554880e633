import pytest
from django.urls import reverse

from console.history import services
from console.history.models import SavedFilter
from instances.access.models import Role
from instances.audit.models import AuditEntry
from tests.support.factories import UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann(client):
    user = UserFactory(role=Role.VIEWER)
    client.force_login(user)
    return user


def keep(client, **values):
    return client.post(reverse("save-filter"), {"name": "Failed", "query": "state=failed&before=4&user=", **values})


def test_a_filter_is_kept_without_the_place_in_the_list(client, ann):
    assert keep(client).url == f"{reverse('runs')}?state=failed"
    kept = SavedFilter.objects.get(owner=ann)
    assert (kept.name, kept.query, kept.is_default) == ("Failed", "state=failed", False)
    assert AuditEntry.objects.get(action="history.save_filter").details["query"] == "state=failed"
    page = client.get(f"{reverse('runs')}?state=failed").content.decode()
    assert reverse("delete-filter", args=[kept.pk]) in page


def test_the_same_name_replaces_it(client, ann):
    keep(client)
    keep(client, query="tag=role%3Dweb")
    assert SavedFilter.objects.get().query == "tag=role%3Dweb"


def test_the_default_is_shown_first_and_there_is_one(client, ann):
    keep(client, name="One", is_default="1")
    keep(client, name="Two", query="user=ann", is_default="1")
    assert client.get(reverse("runs")).url == f"{reverse('runs')}?user=ann"
    assert client.get(reverse("runs"), {"all": 1}).status_code == 200
    assert list(SavedFilter.objects.filter(is_default=True).values_list("name", flat=True)) == ["Two"]


@pytest.mark.parametrize(
    "values",
    [
        {"name": " "},
        {"name": "x" * 61},
        {"name": "a\0b"},
        {"name": "\u202ecod"},
        {"query": ""},
        {"query": "before=3"},
        {"query": "text=" + "x" * 2000},
    ],
    ids=["empty", "long", "NUL", "turned", "no filter", "a place alone", "endless"],
)
def test_what_cannot_be_kept_is_said_beside_the_field_and_stays_there(values, client, ann):
    answer = keep(client, **values)
    assert answer.status_code == 422
    assert b"filter-name-error" in answer.content
    assert not SavedFilter.objects.exists()


def test_fifty_are_enough(client, ann, monkeypatch):
    monkeypatch.setattr(services, "FILTERS_EACH", 1)
    keep(client)
    assert keep(client, name="Other").status_code == 422
    assert keep(client, query="user=ann").status_code == 302


def test_everybody_has_their_own(client, ann):
    keep(client)
    client.force_login(UserFactory(role=Role.ADMINISTRATOR))
    kept = SavedFilter.objects.get()
    assert keep(client).status_code == 302
    assert client.post(reverse("delete-filter", args=[kept.pk])).status_code == 404
    client.force_login(ann)
    assert client.post(reverse("delete-filter", args=[kept.pk])).url == f"{reverse('runs')}?all=1"
    assert not SavedFilter.objects.filter(owner=ann).exists()
    assert AuditEntry.objects.filter(action="history.delete_filter").exists()
