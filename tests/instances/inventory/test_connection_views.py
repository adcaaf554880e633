"""The page that tests connections, and what an instance's own page shows of it."""

import pytest
from django.urls import reverse
from django.utils.html import escape

from instances.engine.errors import AuthFailed
from instances.engine.steps import Stage, steps_of
from instances.inventory.advice import advice_for
from instances.inventory.models import Instance
from instances.inventory.reachability import finish_check
from tests.instances.inventory.conftest import SignIn
from tests.support.factories import (
    GroupFactory,
    InstanceFactory,
)

pytestmark = pytest.mark.django_db


def test_a_selection_leads_to_its_page_and_nothing_is_tried_yet(as_: SignIn) -> None:
    instance = InstanceFactory()
    client = as_("operator")
    response = client.post(reverse("test-connections"), {"ids": str(instance.pk)})
    assert response.url == reverse("test-connections") + f"?ids={instance.pk}"
    assert Instance.objects.get().check_requested_at is None
    assert instance.name in client.get(response.url).content.decode()


def test_a_test_is_asked_for_with_what_it_is_to_try(as_: SignIn) -> None:
    instance = InstanceFactory()
    client = as_("operator")
    given = {"ids": str(instance.pk), "start": "1", "working_directory": "/srv/app", "run_as": "postgres"}
    response = client.post(reverse("test-connections"), given)
    instance.refresh_from_db()
    assert instance.check_options == {"working_directory": "/srv/app", "run_as": "postgres"}
    page = client.get(response.url).content.decode()
    assert "Testing" in page
    assert "hx-get" in page


@pytest.mark.parametrize(
    ("field", "value"), [("run_as", "-u root"), ("run_as", "a b"), ("working_directory", "/a\nb"), ("run_as", "x" * 65)]
)
def test_what_cannot_be_tried_is_told_beside_its_field(as_: SignIn, field: str, value: str) -> None:
    instance = InstanceFactory()
    response = as_("operator").post(reverse("test-connections"), {"ids": str(instance.pk), "start": "1", field: value})
    assert response.status_code == 422
    assert field in response.context["form"].errors
    instance.refresh_from_db()
    assert instance.check_requested_at is None


def test_the_steps_are_shown_with_advice_on_both_pages(as_: SignIn) -> None:
    steps = steps_of(tuple(Stage), AuthFailed())
    instance = InstanceFactory()
    finish_check(instance.pk, error=AuthFailed(), steps=steps)
    for address in (reverse("test-connections") + f"?ids={instance.pk}", reverse("instance", args=[instance.pk])):
        page = as_("operator").get(address).content.decode()
        assert page.count("steps__item") == len(steps)
        assert "Sign in" in page
        assert page.count(escape(advice_for("auth_failed"))) == 1


def test_instances_of_other_groups_are_not_shown(as_: SignIn) -> None:
    hidden = InstanceFactory(name="hidden-1", group=GroupFactory())
    client = as_("operator", role_group=GroupFactory())
    assert b"hidden-1" not in client.get(reverse("test-connections") + f"?ids={hidden.pk}").content
