import pytest
from django.template import engines
from django.urls import reverse

from console.demo import services
from instances.access.models import Role
from tests.support import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_data_folder(tmp_path, settings):
    settings.DATA_DIR = tmp_path


def banner(can):
    return engines["django"].from_string('{% include "demo/_banner.html" %}').render({"can": can})


def test_one_click_removes_the_fleet(client, actor):
    services.register(actor)
    client.force_login(factories.UserFactory(role=Role.ADMINISTRATOR))
    assert client.post(reverse("remove-demo")).status_code == 302
    assert not services.instances().exists()


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.VIEWER])
def test_others_may_not(client, actor, role):
    services.register(actor)
    client.force_login(factories.UserFactory(role=role))
    assert client.post(reverse("remove-demo")).status_code == 403
    assert services.instances().count() == 12


def test_it_takes_a_post(client):
    client.force_login(factories.UserFactory())
    assert client.get(reverse("remove-demo")).status_code == 405


def test_the_banner_is_there_while_demo_instances_are(actor):
    assert banner({"manage_instances", "manage_credentials"}).strip() == ""
    services.register(actor)
    assert "Remove the demo instances" in banner({"manage_instances", "manage_credentials"})
    assert "12 demo instances" in banner(set())
    assert "<button" not in banner(set())
