"""How the instances of a run are chosen, and what a run keeps of where it came from."""

import pytest
from django.urls import reverse

from console.runs.choice import Choice, chosen
from console.runs.models import Run
from instances.access.models import Role
from tests.support import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client):
    user = factories.UserFactory(role=Role.OPERATOR)
    client.force_login(user)
    return user


def test_a_choice_written_down_is_the_same_choice():
    choice = Choice(by_query=True, query="web", group="3", except_ids="4,5")
    assert Choice.of(choice.as_json()) == choice
    assert Choice(ids="1").as_json() == {"ids": "1"}


def test_it_comes_to_what_matches_when_it_is_asked(operator):
    factories.InstanceFactory(name="web-1")
    choice = Choice(by_query=True, query="web")
    assert [instance.name for instance in chosen(operator, choice)] == ["web-1"]
    factories.InstanceFactory(name="web-2")
    assert [instance.name for instance in chosen(operator, choice)] == ["web-1", "web-2"]


def test_a_run_keeps_the_choice_and_the_version_it_was_filled_from(client, operator):
    instance = factories.InstanceFactory()
    version = factories.saved_command(name="disk", text="df").latest
    page = client.get(reverse("send"), {"ids": instance.pk, "saved": version.saved_id}).context["form"]
    client.post(
        reverse("send"),
        {"ids": instance.pk, "command": "df", "command_type": "shell", "saved_version": page["saved_version"].value()},
    )
    run = Run.objects.get()
    assert (run.saved_version, run.choice) == (version, {"ids": str(instance.pk)})


def test_somebody_elses_private_command_is_neither_offered_nor_taken(client, operator):
    private = factories.saved_command(name="private", owner=factories.UserFactory(), is_shared=False)
    assert client.get(reverse("send"), {"saved": private.pk}).status_code == 404
    given = {"ids": factories.InstanceFactory().pk, "command": "id", "command_type": "shell"}
    client.post(reverse("send"), given | {"saved_version": private.latest_id})
    assert not Run.objects.exists()
