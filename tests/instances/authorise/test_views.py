import html
import re

import pytest
from django.urls import reverse

from instances.access.models import Role
from instances.audit.models import AuditEntry
from instances.authorise.models import Authorisation, Placement
from instances.credentials import services as credentials
from instances.credentials.key_pairs import public_key
from instances.credentials.models import Credential
from instances.engine.types import KeyAuth
from tests.instances.credentials.keys import PASSPHRASE, key_pair
from tests.support.factories import CredentialFactory, GroupFactory, InstanceFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def ring_folder(settings, tmp_path):
    settings.DATA_DIR = tmp_path


@pytest.fixture
def administrator(client):
    user = UserFactory(role=Role.ADMINISTRATOR)
    client.force_login(user)
    return user


@pytest.fixture
def key(administrator):
    return credentials.add_credential(
        administrator,
        name="new <key>",
        kind="key",
        user_name="deploy",
        secret=key_pair(passphrase=PASSPHRASE).private,
        passphrase=PASSPHRASE,
    )


@pytest.fixture
def today():
    return CredentialFactory(name="today", user_name="deploy")


def text_of(response):
    return html.unescape(re.sub(r"\s+", " ", response.content.decode()))


def ids_of(*instances):
    return ",".join(str(instance.pk) for instance in instances)


def show(client, name, **form):
    """Ask what would be done, and return the page with the form to press."""
    response = client.post(reverse(name), {"do": "show", **form})
    shown = re.search(r'name="shown" value="(\w+)"', response.content.decode())
    return response, {**form, "shown": shown[1] if shown else "", "do": "press"}


def test_a_key_without_limits_has_to_be_chosen(client, administrator, key, today):
    form = {"ids": ids_of(InstanceFactory(credential=today)), "credential": key.pk}
    refused, _ = show(client, "authorise", **form, limits="")
    assert "Choose what the key may do." in text_of(refused)
    assert public_key(key) not in text_of(refused)
    chosen, _ = show(client, "authorise", **form, limits="none")
    assert f">{public_key(key)} muster:new-key</pre>" in text_of(chosen)


def test_the_page_shows_the_exact_line_and_who_is_left_out_and_why(client, administrator, key, today):
    good = InstanceFactory(name="good", credential=today)
    bad = {
        "It is disabled.": InstanceFactory(is_disabled=True, credential=today),
        "It is a Windows machine": InstanceFactory(os="windows", credential=today),
        "It is the console's own machine": InstanceFactory(is_local=True, credential=today),
        "It has no credential": InstanceFactory(),
        "It signs in with this key already": InstanceFactory(credential=key),
        "another user name": InstanceFactory(credential=CredentialFactory(user_name="root")),
    }
    # As the list's button sends it: one key, and nothing chosen yet.
    response = client.post(reverse("authorise"), {"ids": ids_of(good, *bad.values())})
    assert response.status_code == 200
    text = text_of(response)
    line = f"restrict,pty {public_key(key)} muster:new-key"
    assert f">{line}</pre>" in text
    assert "Written on 1 instance" in text
    assert "Left out: 6" in text
    for why, instance in bad.items():
        assert re.search(rf"<b>{instance.name}</b>: [^<]*{why}", text)
    assert not Authorisation.objects.exists()


def test_nothing_is_done_before_it_was_shown_and_only_what_was_shown(client, administrator, key, today):
    one, two = InstanceFactory(credential=today), InstanceFactory(credential=today)
    form = {"ids": ids_of(one), "credential": key.pk, "limits": "restrict,pty", "is_switching": "on"}
    assert client.post(reverse("authorise"), {**form, "do": "press"}).status_code == 422
    _, press = show(client, "authorise", **form)
    for changed in ({"limits": "none"}, {"sources": "10.0.0.1"}, {"ids": ids_of(one, two)}):
        response = client.post(reverse("authorise"), press | changed)
        assert response.status_code == 422
        assert "not what was shown" in text_of(response)
    assert not Authorisation.objects.exists()
    response = client.post(reverse("authorise"), press)
    found = Authorisation.objects.get()
    assert response.url == reverse("authorisation", args=[found.pk])
    assert found.is_switching
    assert found.line == f"restrict,pty {public_key(key)} muster:new-key"
    assert AuditEntry.objects.get(action="authorise_key").details["line"] == found.line
    page = client.get(response.url)
    assert found.line in text_of(page)
    assert "every 2s" in page.content.decode()
    Placement.objects.update(state="succeeded")
    assert "every 2s" not in client.get(response.url).content.decode()


def test_sources_are_refused_beside_their_field(client, administrator, key, today):
    form = {"ids": ids_of(InstanceFactory(credential=today)), "credential": key.pk, "limits": "none"}
    response = client.post(reverse("authorise"), {**form, "sources": 'x",command="id', "do": "press"})
    assert response.status_code == 422
    assert "Sources are addresses" in str(response.context["form"].errors["sources"])
    assert 'value="x&quot;' in response.content.decode()


def test_taking_away_names_what_comes_after(client, administrator, key, today):
    instance = InstanceFactory(credential=key)
    form = {"ids": ids_of(instance), "credential": key.pk, "next_credential": ""}
    response, press = show(client, "take-away-key", **form)
    assert "no credential of its own afterwards" in text_of(response)
    assert client.post(reverse("take-away-key"), press | {"next_credential": today.pk}).status_code == 422
    assert client.post(reverse("take-away-key"), {**form, "next_credential": key.pk, "do": "show"}).status_code == 200
    _, press = show(client, "take-away-key", **form | {"next_credential": today.pk})
    assert client.post(reverse("take-away-key"), press).status_code == 302
    found = Authorisation.objects.get()
    assert (found.action, found.next_credential, found.line) == ("remove", today, "")


def test_a_whole_filter_can_be_selected(client, administrator, key, today):
    group = GroupFactory()
    InstanceFactory.create_batch(3, credential=today, group=group)
    InstanceFactory(credential=today)
    response = client.post(reverse("authorise"), {"ids": "", "query": f"q=&group={group.pk}", "except_ids": ""})
    assert "Written on 3 instances" in text_of(response)


def test_nothing_selected_leads_back(client, administrator):
    assert "Select instances" in text_of(client.get(reverse("authorise")))


def test_a_key_pair_is_made_and_only_its_public_half_comes_out(client, administrator):
    response = client.post(reverse("make-key-pair"), {"name": "made", "user_name": "deploy"})
    made = Credential.objects.get()
    assert response.url == reverse("public-key", args=[made.pk])
    auth = credentials.auth_of(made)
    assert isinstance(auth, KeyAuth)
    assert b"OPENSSH PRIVATE KEY" in auth.key
    page = client.get(response.url).content.decode()
    assert public_key(made) in html.unescape(page)
    assert "PRIVATE" not in page
    file = client.get(response.url + "?download=1")
    assert file.content.decode() == f"{public_key(made)} muster\n"
    assert "attachment" in file["Content-Disposition"]
    assert client.post(reverse("make-key-pair"), {"name": "made", "user_name": "deploy"}).status_code == 422
    assert client.post(reverse("make-key-pair"), {"name": "x", "user_name": "-x"}).status_code == 422


@pytest.mark.parametrize(("kind", "passphrase"), [("ed25519", PASSPHRASE), ("rsa", ""), ("ecdsa", "")])
def test_the_public_half_is_that_of_the_key_and_follows_a_new_one(administrator, kind, passphrase):
    pair, other = key_pair(kind, passphrase=passphrase), key_pair()
    made = credentials.add_credential(
        administrator, name="k", kind="key", user_name="u", secret=pair.private, passphrase=passphrase
    )
    assert public_key(made) == " ".join(pair.public.split()[:2])
    made.refresh_from_db()
    assert made.public_keys
    made = credentials.change_credential(administrator, credential=made, name="k", user_name="u", secret=other.private)
    assert public_key(made) == " ".join(other.public.split()[:2])


def test_a_password_has_no_public_half(client, administrator, today):
    assert "no public key" in text_of(client.get(reverse("public-key", args=[today.pk])))
