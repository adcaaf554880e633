import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from instances.access.models import Role
from instances.credentials import agent, services
from instances.credentials.models import Credential, GroupCredential
from instances.engine.ssh_keys import Identity
from tests.instances.credentials.keys import PASSPHRASE, key_pair
from tests.support.factories import CredentialFactory, GroupFactory, InstanceFactory, UserFactory

pytestmark = pytest.mark.django_db
CANARY = "canary-5d20-never-shown"


@pytest.fixture
def administrator(client):
    user = UserFactory(role=Role.ADMINISTRATOR)
    client.force_login(user)
    return user


@pytest.fixture
def stored(administrator):
    return services.add_credential(administrator, name="db", kind="password", user_name="deploy", secret=CANARY)


def post_new(client, **changes):
    return client.post(reverse("add-credential"), {"name": "db", "kind": "password", "user_name": "deploy", **changes})


def test_a_password_is_added(client, administrator):
    response = post_new(client, password="correct horse")
    assert response.status_code == 302
    assert services.auth_of(Credential.objects.get()).password == "correct horse"
    assert b"db was added" in client.get(response.url).content


def test_a_key_is_pasted(client, administrator):
    pair = key_pair(passphrase=PASSPHRASE)
    assert post_new(client, kind="key", key=pair.private, passphrase=PASSPHRASE).status_code == 302
    assert Credential.objects.get().fingerprint == pair.fingerprint
    assert pair.fingerprint in client.get(reverse("credentials")).content.decode()


def test_a_key_is_uploaded(client, administrator):
    upload = SimpleUploadedFile("id_ed25519", key_pair().private.encode())
    assert post_new(client, kind="key", key_file=upload).status_code == 302
    assert services.auth_of(Credential.objects.get()).key == key_pair().private.encode()


def test_keys_of_an_agent_are_chosen_and_kept_while_it_is_away(client, administrator, monkeypatch):
    lines = [" ".join(key_pair(kind).public.split()[:2]) for kind in ("ed25519", "rsa")]
    monkeypatch.setattr(agent, "identities", lambda: [Identity(line, "someone@here") for line in lines])
    assert post_new(client, kind="agent", identities=lines[1:]).status_code == 302
    credential = Credential.objects.get()
    assert credential.public_keys == lines[1]
    monkeypatch.setattr(agent, "identities", list)
    page = client.get(reverse("edit-credential", args=[credential.pk])).content.decode()
    assert "not in the agent now" in page
    kept = {"name": "db", "user_name": "other", "identities": lines[1:]}
    assert client.post(reverse("edit-credential", args=[credential.pk]), kept).status_code == 302
    credential.refresh_from_db()
    assert (credential.user_name, credential.public_keys) == ("other", lines[1])


def test_a_key_that_the_agent_does_not_hold_is_refused(client, administrator, monkeypatch):
    line = " ".join(key_pair().public.split()[:2])
    monkeypatch.setattr(agent, "identities", lambda: [Identity(line, "")])
    for chosen in ([], [" ".join(key_pair("rsa").public.split()[:2])]):
        response = post_new(client, kind="agent", identities=chosen)
        assert response.status_code == 422
        assert response.context["form"].errors["identities"]


def test_without_an_agent_the_page_says_how_to_give_one(client, administrator):
    assert b"MUSTER_AGENT_SOCKET" in client.get(reverse("add-credential")).content


def test_a_credential_becomes_the_default_for_everything_and_no_longer(client, stored):
    instance = InstanceFactory()
    client.post(reverse("attach-credential"), {"credential": stored.pk, "everything": "1"})
    page = client.get(reverse("instance", args=[instance.pk])).content.decode()
    assert "the default for all instances without another one" in page
    client.post(reverse("attach-credential"), {"credential": "", "everything": "1"})
    assert services.credential_for(instance) is None


@pytest.mark.parametrize(
    ("content", "told"), [(b"", "empty"), (b"\xff\xfe\x00", "not a private key"), (b"x" * 70_000, "too long")]
)
def test_a_file_that_is_no_key_is_told_beside_the_file(client, administrator, content, told):
    response = post_new(client, kind="key", key_file=SimpleUploadedFile("key", content))
    assert response.status_code == 422
    assert told in str(response.context["form"].errors["key_file"])


def test_a_pasted_key_and_a_file_at_once_are_refused(client, administrator):
    upload = SimpleUploadedFile("key", key_pair().private.encode())
    response = post_new(client, kind="key", key=key_pair().private, key_file=upload)
    assert response.status_code == 422
    assert "not both" in str(response.context["form"].errors["key_file"])


def test_a_wrong_passphrase_is_told_beside_it_and_the_rest_is_kept(client, administrator):
    pair = key_pair(passphrase=PASSPHRASE)
    response = post_new(client, name="my key", kind="key", key=pair.private, passphrase=CANARY)
    page = response.content.decode()
    assert response.status_code == 422
    assert "does not open" in str(response.context["form"].errors["passphrase"])
    assert 'value="my key"' in page
    assert CANARY not in page
    assert pair.private.splitlines()[2] not in page


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"name": ""}, "name"), ({"user_name": "-oProxyCommand=x"}, "user_name"), ({"password": ""}, "password")],
)
def test_a_refused_form_says_why_and_shows_no_secret(client, administrator, changes, field):
    response = post_new(client, **{"password": CANARY, **changes})
    assert response.status_code == 422
    assert field in response.context["form"].errors
    assert CANARY not in response.content.decode()


def test_a_key_of_the_wrong_form_is_told_beside_the_text(client, administrator):
    response = post_new(client, kind="key", key=key_pair().public)
    assert "public half" in str(response.context["form"].errors["key"])


def test_a_credential_added_for_an_instance_is_used_there_at_once(client, administrator):
    instance = InstanceFactory()
    url = f"{reverse('add-credential')}?instance={instance.pk}"
    assert instance.name in client.get(url).content.decode()
    values = {"name": "db", "kind": "password", "user_name": "deploy", "password": "correct horse"}
    assert client.post(url, values).url == reverse("instance", args=[instance.pk])
    instance.refresh_from_db()
    assert instance.credential.name == "db"


def test_an_empty_password_keeps_the_stored_one(client, stored):
    response = client.post(reverse("edit-credential", args=[stored.pk]), {"name": "new name", "user_name": "deploy"})
    assert response.status_code == 302
    stored.refresh_from_db()
    assert (stored.name, services.auth_of(stored).password) == ("new name", CANARY)


def test_a_key_is_renamed_then_replaced_and_never_becomes_a_password(client, administrator):
    post_new(client, kind="key", key=key_pair().private)
    page = reverse("edit-credential", args=[Credential.objects.get().pk])
    for values in ({"name": "new name"}, {"kind": "password", "password": "another horse"}):
        assert client.post(page, {"name": "new name", "user_name": "deploy", **values}).status_code == 302
        assert Credential.objects.get().fingerprint == key_pair().fingerprint
    other = key_pair("ecdsa")
    assert client.post(page, {"name": "db", "user_name": "deploy", "key": other.private}).status_code == 302
    assert Credential.objects.get().fingerprint == other.fingerprint


def test_a_new_password_is_stored(client, stored):
    values = {"name": "db", "user_name": "deploy", "password": "another", "kind": "key", "key": "ignored"}
    client.post(reverse("edit-credential", args=[stored.pk]), values)
    stored.refresh_from_db()
    assert (stored.kind, services.auth_of(stored).password) == ("password", "another")


def test_no_page_shows_a_secret(client, stored):
    services.attach(UserFactory(), credential=stored, instances=[InstanceFactory()])
    for name in ("edit-credential", "delete-credential"):
        assert CANARY not in client.get(reverse(name, args=[stored.pk])).content.decode()
    for name in ("credentials", "attach-credential", "add-credential"):
        assert CANARY not in client.get(reverse(name)).content.decode()


def test_the_list_tells_how_many_use_each(client, stored):
    for _ in range(2):
        services.attach(UserFactory(), credential=stored, instances=[InstanceFactory()])
    services.attach_to_group(UserFactory(), credential=stored, group=GroupFactory())
    assert "2 instances, 1 group" in re.sub(r"\s+", " ", client.get(reverse("credentials")).content.decode())


def test_an_empty_list_says_what_to_do(client, administrator):
    page = client.get(reverse("credentials")).content.decode()
    assert "no credential yet" in page
    assert page.count(reverse("add-credential")) >= 2


def test_deleting_first_says_what_uses_it(client, stored):
    instance = InstanceFactory(credential=stored)
    url = reverse("delete-credential", args=[stored.pk])
    assert instance.name in client.get(url).content.decode()
    assert Credential.objects.exists()
    assert client.post(url).status_code == 302
    assert not Credential.objects.exists()


def test_a_credential_is_attached_to_the_selected_instances(client, stored):
    instances = [InstanceFactory() for _ in range(3)]
    ids = ",".join(str(one.pk) for one in instances[:2])
    page = client.get(reverse("attach-credential"), {"ids": ids, "next": "/instances/1/"}).content.decode()
    assert instances[0].name in page
    assert instances[2].name not in page
    values = {"ids": ids, "credential": stored.pk, "next": "/people/"}
    response = client.post(reverse("attach-credential"), values)
    assert response.url == "/people/"
    assert set(stored.instances.all()) == set(instances[:2])


def test_ids_may_come_as_separate_fields_and_nonsense_among_them_is_passed_over(client, stored):
    instance = InstanceFactory()
    values = {"ids": [instance.pk, "x", "-1", "9" * 30, "²"], "credential": stored.pk}
    assert client.post(reverse("attach-credential"), values).status_code == 302
    assert list(stored.instances.all()) == [instance]


def test_a_credential_becomes_a_groups_default(client, stored):
    group = GroupFactory()
    client.post(reverse("attach-credential"), {"group": group.pk, "credential": stored.pk})
    assert GroupCredential.objects.get(group=group).credential == stored


def test_attaching_to_nothing_is_told(client, stored):
    response = client.post(reverse("attach-credential"), {"credential": stored.pk})
    assert response.status_code == 422
    assert "Select instances" in response.content.decode()


@pytest.mark.parametrize("place", ["https://evil.example/", "//evil.example", "javascript:alert(1)", ""])
def test_the_way_back_never_leads_elsewhere(client, stored, place):
    values = {"ids": InstanceFactory().pk, "credential": stored.pk, "next": place}
    assert client.post(reverse("attach-credential"), values).url == reverse("credentials")


def test_try_again_lifts_a_suspension(client):
    client.force_login(UserFactory(role=Role.OPERATOR))
    credential = CredentialFactory()
    instance = InstanceFactory(credential=credential)
    for _ in range(2):
        services.note_failure(credential_id=credential.pk, instance=instance)
    assert client.post(reverse("resume-credential", args=[instance.pk])).status_code == 302
    assert not services.is_suspended(credential, instance)


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.VIEWER, None])
def test_others_are_refused(client, role):
    client.force_login(UserFactory(role=role))
    pk = CredentialFactory().pk
    for url in (
        reverse("credentials"),
        reverse("add-credential"),
        reverse("attach-credential"),
        reverse("edit-credential", args=[pk]),
        reverse("delete-credential", args=[pk]),
    ):
        assert client.get(url).status_code == 403
    for url in (reverse("add-credential"), reverse("attach-credential"), reverse("delete-credential", args=[pk])):
        assert client.post(url).status_code == 403
    assert Credential.objects.filter(pk=pk).exists()


def test_visitors_are_sent_to_the_sign_in_page(client):
    response = client.get(reverse("credentials"))
    assert response.status_code == 302
    assert response.url.startswith(reverse("sign-in"))


def test_names_are_escaped(client, administrator):
    CredentialFactory(name="<script>x</script>")
    page = client.get(reverse("credentials")).content.decode()
    assert "<script>x" not in page
    assert "&lt;script&gt;x" in page
