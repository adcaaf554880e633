import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from instances.access.models import Role
from instances.engine.types import HostKey as PresentedKey
from instances.host_keys import importing, services
from instances.host_keys.models import HostAuthority, HostKey, RevokedKey
from tests.support.factories import (
    GroupFactory,
    HostAuthorityFactory,
    HostKeyFactory,
    InstanceFactory,
    RevokedKeyFactory,
    UserFactory,
    host_key_data,
)

pytestmark = pytest.mark.django_db
KEY = PresentedKey("ssh-ed25519", host_key_data(6_000_001))
AUTHORITIES, REVOKED, IMPORT = "host-authorities", "revoked-keys", "import-known-hosts"


@pytest.fixture
def administrator(client):
    user = UserFactory(role=Role.ADMINISTRATOR)
    client.force_login(user)
    return user


def page(client, name, query=None):
    return client.get(reverse(name), query or {}).content.decode()


def sent(client, url_name, /, **form):
    return client.post(reverse(url_name), form)


# ------------------------------------------------------------------ authorities


def test_an_authority_is_trusted_from_a_line_of_known_hosts(client, administrator):
    response = sent(client, AUTHORITIES, line=f"@cert-authority *.example.com {KEY.line} of Berlin")
    assert response.url == reverse(AUTHORITIES)
    row = HostAuthority.objects.get()
    assert (row.patterns, row.name, row.fingerprint) == ("*.example.com", "of Berlin", KEY.fingerprint)
    shown = page(client, AUTHORITIES)
    for text in ("of Berlin", "*.example.com", KEY.fingerprint, "All instances", administrator.username):
        assert text in shown


def test_an_authority_is_trusted_from_a_key_and_patterns(client, administrator):
    group = GroupFactory()
    sent(client, AUTHORITIES, line=KEY.line, patterns="10.0.*", name="Berlin", group=group.pk)
    row = HostAuthority.objects.get()
    assert (row.patterns, row.name, row.group) == ("10.0.*", "Berlin", group)


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({"name": "Berlin"}, "This field is required"),
        ({"line": KEY.line}, "Say which addresses"),
        ({"line": "ssh-ed25519 AAAA", "patterns": "*"}, "do not belong together"),
        ({"line": f"@revoked * {KEY.line}"}, "enter it under Revoked"),
        ({"line": f"@cert-authority * {KEY.line}", "patterns": "*"}, "leave the field below empty"),
        ({"line": KEY.line, "patterns": "|1|a|b"}, "A pattern is a name"),
    ],
)
def test_what_is_no_authority_is_told_and_nothing_typed_is_lost(client, administrator, form, why):
    response = sent(client, AUTHORITIES, **form)
    assert response.status_code == 422
    assert why in response.content.decode()
    assert form.get("line", "") in response.content.decode()
    assert not HostAuthority.objects.exists()


def test_an_authority_is_removed(client, administrator):
    row = HostAuthorityFactory()
    assert client.post(reverse("remove-host-authority", args=[row.pk])).url == reverse(AUTHORITIES)
    assert not HostAuthority.objects.exists()
    assert client.post(reverse("remove-host-authority", args=[row.pk])).status_code == 404


# ------------------------------------------------------------------ revoked keys


def test_a_key_is_revoked_from_the_page_of_its_instance(client, administrator):
    key = HostKeyFactory()
    shown = page(client, REVOKED, {"key": key.pk})
    assert key.line in shown
    assert f"Of {key.instance.name}" in shown
    assert sent(client, REVOKED, line=key.line, comment="leaked").url == reverse(REVOKED)
    assert RevokedKey.objects.get().comment == "leaked"
    assert key.fingerprint in page(client, REVOKED)
    overview = client.get(reverse("instance", args=[key.instance.pk])).content.decode()
    assert "Trusted before (1)" in overview
    assert f"by {administrator.username}" in overview
    assert "Revoked" in overview


@pytest.mark.parametrize("before", ["", "@revoked * ", "web-1,10.0.0.4 "])
def test_a_line_of_known_hosts_revokes_too(client, administrator, before):
    assert sent(client, REVOKED, line=before + KEY.line + " comment").status_code == 302
    assert RevokedKey.objects.get().fingerprint == KEY.fingerprint


@pytest.mark.parametrize("line", ["", "nothing", "ssh-ed25519", f"ssh-rsa {KEY.line.split()[1]}"])
def test_what_is_no_key_is_not_revoked(client, administrator, line):
    assert sent(client, REVOKED, line=line).status_code == 422
    assert not RevokedKey.objects.exists()


def test_the_review_says_that_a_revoked_key_cannot_be_approved(client, administrator):
    unknown = services.note_presented(InstanceFactory(), KEY)
    changed = services.note_presented(HostKeyFactory().instance, KEY)
    sent(client, REVOKED, line=KEY.line)
    shown = page(client, "host-keys", {"select": "all"})
    assert shown.count("it cannot be trusted") == 2
    assert 'name="keys"' not in shown
    response = client.post(reverse("trust-host-keys"), {"keys": [unknown.pk, changed.pk], "confirm_changed": "yes"})
    assert response.status_code == 422
    assert "A revoked key cannot be trusted" in response.content.decode()


def test_a_revocation_is_taken_back(client, administrator):
    row = RevokedKeyFactory()
    assert client.post(reverse("restore-key", args=[row.pk])).url == reverse(REVOKED)
    assert not RevokedKey.objects.exists()


# ------------------------------------------------------------------ import


def expected_of(response):
    return re.search(r'name="expected" value="(\w+)"', response.content.decode())[1]


def test_a_pasted_file_is_shown_then_imported(client, administrator):
    instance = InstanceFactory(name="web-one", address="web.example.com")
    text = f"web.example.com {KEY.line}\nbroken <b>\n"
    shown = sent(client, IMPORT, text=text)
    assert shown.status_code == 200
    for words in ("New: trusted from then on (1)", "web-one", KEY.fingerprint, "Cannot be read (1)"):
        assert words in shown.content.decode()
    assert not HostKey.objects.exists()
    done = sent(client, IMPORT, text=text, expected=expected_of(shown), confirm="yes")
    assert done.url == reverse("host-keys")
    assert services.trusted_keys(instance) == (KEY,)


def test_an_uploaded_file_is_shown_with_its_text_to_confirm(client, administrator):
    InstanceFactory(address="web.example.com")
    text = f"\ufeffweb.example.com {KEY.line}\n"
    file = SimpleUploadedFile("known_hosts", text.encode() + b"# \xff\n")
    shown = client.post(reverse(IMPORT), {"text": "", "file": file})
    assert shown.status_code == 200
    assert "New: trusted from then on (1)" in shown.content.decode()
    again = re.search(r"<textarea[^>]*>\s*(.*?)</textarea>", shown.content.decode(), re.DOTALL)[1]
    done = sent(client, IMPORT, text=again, expected=expected_of(shown), confirm="yes")
    assert done.status_code == 302
    assert HostKey.objects.get().trusted_by == administrator


def test_only_ticked_lines_replace_a_trusted_key(client, administrator):
    first, second = (HostKeyFactory(instance=InstanceFactory(address=f"{name}.example.com")) for name in "ab")
    text = "".join(f"{key.instance.address} {KEY.line}\n" for key in (first, second))
    shown = sent(client, IMPORT, text=text)
    assert shown.content.decode().count('name="replace"') == 2
    sent(client, IMPORT, text=text, expected=expected_of(shown), confirm="yes", replace=["2", "x", "²"])
    assert services.trusted_keys(first.instance)[0].fingerprint == first.fingerprint
    assert first.instance.host_keys.filter(state="changed").exists()
    assert services.trusted_keys(second.instance) == (KEY,)


def test_what_changed_meanwhile_is_shown_again_and_can_be_confirmed_then(client, administrator):
    instance = InstanceFactory(address="web.example.com")
    text = f"web.example.com {KEY.line}\n"
    version = expected_of(sent(client, IMPORT, text=text))
    HostKeyFactory(instance=instance)
    response = sent(client, IMPORT, text=text, expected=version, confirm="yes")
    assert response.status_code == 422
    assert "Look at it again" in response.content.decode()
    assert "Changed: another key is trusted (1)" in response.content.decode()
    assert expected_of(response) != version
    assert sent(client, IMPORT, text=text, expected=expected_of(response), confirm="yes").status_code == 302


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({"text": "  "}, "There is nothing in it"),
        ({"text": "a", "file": b"b"}, "not both"),
        ({"file": b""}, "There is nothing in it"),
        ({"file": b"x" * (importing.TEXT_LIMIT + 1)}, "more than 3 MB"),
        ({"text": "\n" * 20_001 + "a"}, "at most 20,000 lines"),
    ],
)
def test_what_cannot_be_imported_is_told(client, administrator, form, why):
    data = {key: SimpleUploadedFile("f", value) if isinstance(value, bytes) else value for key, value in form.items()}
    response = client.post(reverse(IMPORT), data)
    assert response.status_code == 422
    assert why in response.content.decode()


def test_a_file_of_which_nothing_is_new_has_nothing_to_press(client, administrator):
    shown = sent(client, IMPORT, text=f"nobody.example.com {KEY.line}").content.decode()
    assert "No instance has this address (1)" in shown
    assert 'name="confirm"' not in shown


# ------------------------------------------------------------------ the review, many


def test_old_and_new_are_side_by_side_with_who_trusted_the_old_one(client, administrator):
    trusted = HostKeyFactory(trusted_by=administrator, algorithm="ssh-rsa")
    services.note_presented(trusted.instance, KEY)
    shown = page(client, "host-keys")
    section = shown[shown.index('class="sides"') :]
    order = [section.index(text) for text in ("Trusted until now", "ssh-rsa", trusted.fingerprint, "First seen")]
    order += [section.index(f"by {administrator.username}"), section.index("Shows now"), section.index(KEY.fingerprint)]
    assert order == sorted(order)


def test_many_changed_keys_are_trusted_at_once_after_one_confirmation(client, administrator):
    keys = [
        services.note_presented(
            HostKeyFactory().instance, PresentedKey("ssh-ed25519", host_key_data(7_000_000 + number))
        )
        for number in range(3)
    ]
    chosen = [key.pk for key in keys[:2]]
    assert client.post(reverse("trust-host-keys"), {"keys": chosen}).status_code == 422
    client.post(reverse("trust-host-keys"), {"keys": chosen, "confirm_changed": "yes"})
    assert set(HostKey.objects.filter(state="trusted", pk__in=chosen).values_list("pk", flat=True)) == set(chosen)
    assert HostKey.objects.get(pk=keys[2].pk).state == "changed"


def test_the_review_is_narrowed_down_and_has_pages(client, administrator):
    group = GroupFactory()
    for number in range(120):
        instance = InstanceFactory(name=f"many-{number}", group=group if number < 3 else None)
        services.note_presented(instance, PresentedKey("ssh-ed25519", host_key_data(8_000_000 + number)))
        if number < 110:
            changed = HostKeyFactory(instance=InstanceFactory(name=f"old-{number}")).instance
            services.note_presented(changed, PresentedKey("ssh-ed25519", host_key_data(8_100_000 + number)))
    whole = page(client, "host-keys")
    assert (whole.count("100 of 120<"), whole.count("100 of 110<")) == (1, 1)
    assert page(client, "host-keys", {"changed": "2"}).count("Shows now</h4>") == 10
    assert page(client, "host-keys", {"group": group.pk}).count("data-row") == 3
    one = page(client, "host-keys", {"q": "MANY-117"})
    assert one.count("data-row") == 1
    assert "many-117" in one
    assert "None of these" not in one
    assert "No host key of these waits" in page(client, "host-keys", {"q": "\0nobody", "group": "x"})


def test_a_former_key_is_not_reviewed(client, administrator):
    key = HostKeyFactory(state="former")
    assert client.post(reverse("forget-host-key", args=[key.pk])).status_code == 404
    assert client.post(reverse("trust-host-keys"), {"keys": [key.pk]}).status_code == 422
    assert services.trusted_keys(key.instance) == ()
