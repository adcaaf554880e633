import dataclasses

import pytest
from django.core.exceptions import ValidationError

from instances.access.models import Role
from instances.access.rules import NotAllowed
from instances.audit.models import AuditEntry
from instances.credentials import services
from instances.credentials.models import Credential, GroupCredential
from instances.engine.types import AgentAuth, KeyAuth, PasswordAuth
from tests.instances.credentials.keys import PASSPHRASE, certificate, key_pair
from tests.support.factories import CredentialFactory, GroupFactory, InstanceFactory, UserFactory

pytestmark = pytest.mark.django_db
CANARY = "canary-91c4-never-shown"
ENCRYPTED = [("ed25519", "RFC4716"), ("rsa", "PEM"), ("rsa", "PKCS8"), ("ed25519", "PPK2"), ("rsa", "PPK3")]


def add(actor, **changes):
    values = {"name": "db", "kind": "password", "user_name": "deploy", "secret": "correct horse", **changes}
    return services.add_credential(actor, **values)


def refused(error):
    return error.value.message_dict


# ------------------------------------------------------------------ keep


def test_a_password_comes_back_for_signing_in(administrator):
    credential = add(administrator)
    assert services.auth_of(credential) == PasswordAuth("deploy", "correct horse")
    assert services.auth_of(credential, "root").user == "root"


@pytest.mark.parametrize(
    ("kind", "form"),
    # ssh-keygen writes ed25519 keys in OpenSSH's own form only.
    [
        ("ed25519", "RFC4716"),
        *((kind, form) for kind in ("rsa", "ecdsa") for form in ("RFC4716", "PEM", "PKCS8")),
        *((kind, form) for kind in ("ed25519", "rsa", "ecdsa") for form in ("PPK2", "PPK3")),
    ],
)
def test_a_key_is_kept_with_the_fingerprint_of_its_public_half(administrator, kind, form):
    pair = key_pair(kind, form=form)
    credential = add(administrator, kind="key", secret=pair.private)
    assert credential.fingerprint == pair.fingerprint
    assert credential.public_keys.split() == pair.public.split()[:2]
    assert services.auth_of(credential) == KeyAuth("deploy", pair.private.encode(), None)


@pytest.mark.parametrize(("kind", "form"), ENCRYPTED)
def test_an_encrypted_key_is_kept_with_its_passphrase(administrator, kind, form):
    pair = key_pair(kind, form=form, passphrase=PASSPHRASE)
    credential = add(administrator, kind="key", secret=pair.private, passphrase=PASSPHRASE)
    assert credential.fingerprint == pair.fingerprint
    assert services.auth_of(credential) == KeyAuth("deploy", pair.private.encode(), PASSPHRASE)


@pytest.mark.parametrize(("kind", "form"), ENCRYPTED)
@pytest.mark.parametrize(("passphrase", "told"), [("wrong", "does not open"), ("", "enter its passphrase")])
def test_a_wrong_passphrase_is_told_beside_the_passphrase(administrator, kind, form, passphrase, told):
    pair = key_pair(kind, form=form, passphrase=PASSPHRASE)
    with pytest.raises(ValidationError) as error:
        add(administrator, kind="key", secret=pair.private, passphrase=passphrase)
    assert told in refused(error)["passphrase"][0]
    assert not Credential.objects.exists()


def test_a_key_pasted_in_a_browser_is_kept_with_its_own_line_ends(administrator):
    pair = key_pair()
    pasted = "\r\n" + pair.private.replace("\n", "\r\n").rstrip()
    assert services.auth_of(add(administrator, kind="key", secret=pasted)).key == pair.private.encode()


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        ("", "Paste the private key"),
        ("  \n", "Paste the private key"),
        ("not a key", "not a private key"),
        ("PuTTY-User-Key-File-3: ssh-ed25519\n…", "PuTTY's versions 2 and 3"),
        (key_pair(form="PPK3").private.replace("Comment: test", "Comment: other"), "a part of it is missing"),
        ("".join(key_pair().private for _ in range(6)), "At most 5 keys"),
        (key_pair().public, "public half"),
        (key_pair().private[:200], "not a private key"),
        ("x" * 70_000, "too long"),
    ],
    ids=["empty", "blank", "words", "PuTTY", "changed PuTTY", "six", "public half", "first part", "too long"],
)
def test_what_is_no_private_key_is_refused_with_the_reason(administrator, secret, told):
    with pytest.raises(ValidationError) as error:
        add(administrator, kind="key", secret=secret)
    assert told in refused(error)["secret"][0]


@pytest.mark.parametrize("secret", ["", "two\nlines", "carriage\rreturn", "nul\0"])
def test_an_unusable_password_is_refused(administrator, secret):
    with pytest.raises(ValidationError) as error:
        add(administrator, secret=secret)
    assert "secret" in refused(error)


def test_a_password_is_kept_with_its_spaces(administrator):
    assert services.auth_of(add(administrator, secret=" two words ")).password == " two words "


@pytest.mark.parametrize(
    "user_name",
    ["", "-oProxyCommand=touch", "a b", "a\nb", "root;id", "$(id)", "`id`", "a/b", "a:b", "%h", "x" * 65, "ü", "a\n"],
)
def test_a_user_name_that_could_be_read_as_something_else_is_refused(administrator, user_name):
    with pytest.raises(ValidationError) as error:
        add(administrator, user_name=user_name)
    assert "user_name" in refused(error)


@pytest.mark.parametrize("user_name", ["root", "ana.b", "a-b", "a_b", "ana@corp.example", "CORP\\ana", "x" * 64])
def test_user_names_in_use_are_taken(administrator, user_name):
    assert add(administrator, user_name=user_name).user_name == user_name


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "x" * 81])
def test_an_unusable_name_is_refused(administrator, name):
    with pytest.raises(ValidationError) as error:
        add(administrator, name=name)
    assert "name" in refused(error)


def test_a_name_is_given_once(administrator):
    add(administrator)
    with pytest.raises(ValidationError) as error:
        add(administrator)
    assert "taken" in refused(error)["name"][0]


def test_a_password_has_no_passphrase_and_a_kind_is_one_of_three(administrator):
    with pytest.raises(ValidationError) as error:
        add(administrator, passphrase="x")
    assert "passphrase" in refused(error)
    with pytest.raises(ValidationError) as error:
        add(administrator, kind="token")
    assert "kind" in refused(error)


def test_several_keys_are_kept_in_their_order(administrator):
    pairs = [key_pair("rsa", form="PEM"), key_pair(), key_pair("ecdsa", form="PPK3")]
    credential = add(administrator, kind="key", secret="\n".join(pair.private for pair in pairs))
    assert credential.fingerprint.split() == [pair.fingerprint for pair in pairs]
    assert services.public_lines_of(credential) == tuple(" ".join(pair.public.split()[:2]) for pair in pairs)


def test_of_several_keys_the_wrong_one_is_named(administrator):
    sealed = key_pair("rsa", form="PEM", passphrase=PASSPHRASE)
    with pytest.raises(ValidationError) as error:
        add(administrator, kind="key", secret=key_pair().private + sealed.private, passphrase="wrong")
    assert refused(error)["passphrase"] == ["Key 2: The passphrase does not open this key."]


def test_the_public_half_of_a_key_kept_earlier_is_found_again(administrator):
    pair = key_pair("rsa", form="PEM", passphrase=PASSPHRASE)
    credential = add(administrator, kind="key", secret=pair.private, passphrase=PASSPHRASE)
    credential.public_keys = ""
    assert services.public_lines_of(credential) == (" ".join(pair.public.split()[:2]),)


# ------------------------------------------------------------------ certificates and agents


def test_a_certificate_is_kept_with_its_key_and_renewed_without_it(administrator):
    pair = key_pair()
    first, second = certificate(pair.public), certificate(pair.public)
    credential = add(administrator, kind="key", secret=pair.private, certificates=f" {first} \r\n\r\n")
    assert services.auth_of(credential).certificates == first
    credential = change(administrator, credential, certificates=second)
    assert services.auth_of(credential) == KeyAuth("deploy", pair.private.encode(), None, second)
    assert credential.version == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (key_pair().public, "cannot be read"),
        ("words", "cannot be read"),
        (certificate(key_pair("rsa").public), "for another key"),
        (certificate(key_pair().public, valid="-2h:-1h"), "expired"),
        (certificate(key_pair().public, valid="+1h:+2h"), "not yet valid"),
        (certificate(key_pair().public, kind="host"), "it is a host's"),
    ],
    ids=["public key", "words", "another key", "expired", "early", "host"],
)
def test_a_certificate_of_no_use_is_told_beside_it(administrator, text, told):
    with pytest.raises(ValidationError) as error:
        add(administrator, kind="key", secret=key_pair().private, certificates=f"\n{text}")
    assert told in refused(error)["certificates"][0]
    assert "did not run" not in refused(error)["certificates"][0]


def test_an_agents_keys_are_named_and_no_secret_is_kept(administrator, settings):
    line = " ".join(key_pair().public.split()[:2])
    credential = add(administrator, kind="agent", secret="", identities=(f"{line} comment",))
    assert (bytes(credential.sealed_secret), credential.public_keys) == (b"", line)
    assert services.auth_of(credential) == AgentAuth("deploy", settings.ENV.agent_socket, (line,))


@pytest.mark.parametrize("identities", [(), ("no key",), (" ".join(key_pair().public.split()[:2]),) * 6])
def test_an_agent_without_a_choice_of_keys_is_refused(administrator, identities):
    with pytest.raises(ValidationError) as error:
        add(administrator, kind="agent", secret="", identities=identities)
    assert "identities" in refused(error)


# ------------------------------------------------------------------ change


def change(actor, credential, **changes):
    values = {"name": credential.name, "user_name": credential.user_name, **changes}
    return services.change_credential(actor, credential=credential, **values)


def test_an_empty_secret_keeps_the_stored_one(administrator):
    credential = change(administrator, add(administrator), name="renamed")
    assert (credential.name, credential.version) == ("renamed", 1)
    assert services.auth_of(credential).password == "correct horse"


def test_a_new_secret_or_user_name_raises_the_version(administrator):
    credential = change(administrator, add(administrator), secret="another")
    assert (services.auth_of(credential).password, credential.version) == ("another", 2)
    credential = change(administrator, credential, user_name="root")
    assert (services.auth_of(credential), credential.version) == (PasswordAuth("root", "another"), 3)


def test_a_new_key_leaves_the_former_passphrase_behind(administrator):
    former = key_pair(passphrase=PASSPHRASE)
    credential = add(administrator, kind="key", secret=former.private, passphrase=PASSPHRASE)
    credential = change(administrator, credential, secret=key_pair("ecdsa").private)
    assert services.auth_of(credential).passphrase is None
    assert credential.fingerprint == key_pair("ecdsa").fingerprint


def test_a_passphrase_alone_is_refused(administrator):
    credential = add(administrator, kind="key", secret=key_pair().private)
    with pytest.raises(ValidationError) as error:
        change(administrator, credential, passphrase="x")
    assert "passphrase" in refused(error)


def test_of_two_changes_at_once_the_second_is_told(administrator):
    first = add(administrator)
    second = Credential.objects.get(pk=first.pk)
    change(administrator, first, secret="one")
    with pytest.raises(ValidationError, match="meanwhile"):
        change(administrator, second, secret="two")
    second.refresh_from_db()
    assert services.auth_of(second).password == "one"


def test_deleting_leaves_its_instances_without(administrator):
    credential = add(administrator)
    group, instance = GroupFactory(), InstanceFactory(credential=credential)
    services.attach_to_group(administrator, credential=credential, group=group)
    services.delete_credential(administrator, credential=credential)
    instance.refresh_from_db()
    assert instance.credential_id is None
    assert not GroupCredential.objects.exists()


# ------------------------------------------------------------------ who may, and what is told


@pytest.mark.parametrize(
    "who",
    [
        {"role": Role.OPERATOR},
        {"role": Role.VIEWER},
        {"role": None},
        {"role": Role.ADMINISTRATOR, "is_active": False},
    ],
)
def test_only_administrators_manage_credentials(who):
    user, credential, group = UserFactory(**who), CredentialFactory(), GroupFactory()
    calls = [
        lambda: add(user),
        lambda: change(user, credential, name="x"),
        lambda: services.delete_credential(user, credential=credential),
        lambda: services.attach(user, credential=credential, instances=[InstanceFactory()]),
        lambda: services.attach_to_group(user, credential=credential, group=group),
    ]
    for call in calls:
        with pytest.raises(NotAllowed):
            call()
    assert not AuditEntry.objects.exists()


def test_who_administers_one_group_does_not_reach_the_credentials_of_all():
    group = GroupFactory()
    user = UserFactory(role=Role.ADMINISTRATOR, role_group=group)
    with pytest.raises(NotAllowed):
        services.attach(user, credential=CredentialFactory(), instances=[InstanceFactory(group=group)])


def test_the_secret_is_in_no_audit_entry_log_or_repr(administrator, caplog):
    caplog.set_level("DEBUG")
    pair = key_pair(passphrase=CANARY)
    credential = add(administrator, secret=CANARY)
    change(administrator, credential, secret=CANARY + "2")
    key = add(administrator, name="key", kind="key", secret=pair.private, passphrase=CANARY)
    with pytest.raises(ValidationError) as error:
        add(administrator, name="bad", kind="key", secret=CANARY, passphrase=CANARY)
    services.delete_credential(administrator, credential=Credential.objects.get(pk=key.pk))
    told = [repr(entry.details) + entry.subject for entry in AuditEntry.objects.all()]
    auth = services.auth_of(Credential.objects.get(pk=credential.pk))
    told += [caplog.text, repr(credential), repr(auth), str(error.value), repr(dataclasses.replace(auth, user="x"))]
    body = pair.private.splitlines()[3]
    assert not [text for text in told if CANARY in text or body in text]


def test_every_change_is_recorded(administrator):
    credential = change(administrator, add(administrator), user_name="root")
    group, instance = GroupFactory(), InstanceFactory()
    services.attach(administrator, credential=credential, instances=[instance])
    services.attach_to_group(administrator, credential=credential, group=group)
    services.attach(administrator, credential=None, instances=[instance])
    services.delete_credential(administrator, credential=credential)
    assert list(AuditEntry.objects.order_by("pk").values_list("action", flat=True)) == [
        "add_credential",
        "change_credential",
        "attach_credential",
        "attach_credential",
        "detach_credential",
        "delete_credential",
    ]
