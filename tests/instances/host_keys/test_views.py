import re

import pytest
from django.urls import reverse

from instances.access.models import Role
from instances.engine.types import HostKey as PresentedKey
from instances.host_keys import services
from instances.host_keys.models import HostKey
from tests.support.factories import GroupFactory, HostKeyFactory, InstanceFactory, UserFactory, host_key_data

pytestmark = pytest.mark.django_db


def waiting(number, instance=None):
    return services.note_presented(
        instance or InstanceFactory(), PresentedKey("ssh-ed25519", host_key_data(2_000_000 + number))
    )


@pytest.fixture
def administrator(client):
    user = UserFactory(role=Role.ADMINISTRATOR)
    client.force_login(user)
    return user


def states():
    return set(HostKey.objects.values_list("pk", "state"))


def test_an_empty_queue_says_what_will_appear(client, administrator):
    assert "No host key waits" in client.get(reverse("host-keys")).content.decode()


def test_an_unknown_key_is_shown_with_what_is_needed_to_compare_it(client, administrator):
    key = waiting(1)
    page = client.get(reverse("host-keys")).content.decode()
    for text in (key.instance.name, f"{key.instance.address} port 22", "ssh-ed25519", key.fingerprint):
        assert text in page


def test_a_changed_key_is_shown_beside_the_trusted_one(client, administrator):
    trusted = HostKeyFactory()
    key = waiting(1, trusted.instance)
    page = client.get(reverse("host-keys")).content.decode()
    assert page.index(trusted.fingerprint) < page.index(key.fingerprint)


def test_selected_keys_are_trusted(client, administrator):
    chosen, other = [waiting(1), waiting(2)], waiting(3)
    response = client.post(reverse("trust-host-keys"), {"keys": [key.pk for key in chosen]})
    assert response.url == reverse("host-keys")
    assert states() == {(chosen[0].pk, "trusted"), (chosen[1].pk, "trusted"), (other.pk, "unknown")}


def test_select_all_ticks_unknown_keys_only(client, administrator):
    waiting(1)
    waiting(2, HostKeyFactory().instance)
    ticked = re.compile(r'<input type="checkbox" name="\w+"[^>]* checked>')
    page = client.get(reverse("host-keys"), {"select": "all"}).content.decode()
    assert len(ticked.findall(page)) == 1
    assert not ticked.search(client.get(reverse("host-keys")).content.decode())


def test_a_changed_key_without_its_confirmation_is_refused(client, administrator):
    trusted = HostKeyFactory()
    key = waiting(1, trusted.instance)
    response = client.post(reverse("trust-host-keys"), {"keys": key.pk})
    assert response.status_code == 422
    assert "compare the fingerprints" in response.content.decode()
    assert states() == {(trusted.pk, "trusted"), (key.pk, "changed")}


def test_a_confirmed_changed_key_replaces_the_old_one(client, administrator):
    trusted = HostKeyFactory()
    key = waiting(1, trusted.instance)
    client.post(reverse("trust-host-keys"), {"keys": key.pk, "confirm_changed": "yes"})
    assert states() == {(trusted.pk, "former"), (key.pk, "trusted")}


@pytest.mark.parametrize("keys", [[], ["x"], ["999999"], ["²"]])
def test_no_selection_is_told(client, administrator, keys):
    response = client.post(reverse("trust-host-keys"), {"keys": keys})
    assert response.status_code == 422
    assert "Select at least one" in response.content.decode()


def test_a_key_is_forgotten(client, administrator):
    key = waiting(1)
    response = client.post(reverse("forget-host-key", args=[key.pk]), {"next": "/people/"})
    assert response.url == "/people/"
    assert not HostKey.objects.exists()
    assert client.post(reverse("forget-host-key", args=[key.pk])).status_code == 404


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.VIEWER, None])
def test_others_are_refused(client, role):
    client.force_login(UserFactory(role=role))
    key = waiting(1)
    assert client.get(reverse("host-keys")).status_code == 403
    assert client.post(reverse("trust-host-keys"), {"keys": key.pk}).status_code == 403
    assert client.post(reverse("forget-host-key", args=[key.pk])).status_code in {403, 404}
    assert states() == {(key.pk, "unknown")}


def test_keys_of_other_groups_are_neither_shown_nor_decided(client):
    theirs, other = InstanceFactory(group=GroupFactory()), InstanceFactory(group=GroupFactory())
    client.force_login(UserFactory(role=Role.ADMINISTRATOR, role_group=theirs.group))
    inside, outside = waiting(1, theirs), waiting(2, other)
    page = client.get(reverse("host-keys")).content.decode()
    assert inside.fingerprint in page
    assert outside.fingerprint not in page
    client.post(reverse("trust-host-keys"), {"keys": [inside.pk, outside.pk]})
    assert client.post(reverse("forget-host-key", args=[outside.pk])).status_code == 404
    assert states() == {(inside.pk, "trusted"), (outside.pk, "unknown")}


def test_the_page_asks_few_questions_however_many_keys(client, administrator, django_assert_max_num_queries):
    for number in range(30):
        waiting(number)
        waiting(100 + number, HostKeyFactory().instance)
    with django_assert_max_num_queries(25):
        client.get(reverse("host-keys"))
