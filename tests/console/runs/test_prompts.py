import uuid

import pytest
from django.urls import reverse

from console.runs import queue, services, stopping
from console.runs.models import PromptedPassword, Run
from console.runs.prompts import Prompt, Prompts
from console.worker import preparation
from console.worker.preparation import Refusal
from instances.access.rules import NotAllowed
from instances.audit.models import AuditEntry
from instances.credentials import services as credentials
from instances.credentials.box import BoxBroken, BoxKey, seal_to
from instances.credentials.models import Credential
from instances.engine.types import PasswordAuth
from tests.support import factories

pytestmark = pytest.mark.django_db
CANARY = "canary-3ad1-for-one-run"
PROMPT = Prompt("deploy", CANARY)


@pytest.fixture
def worker():
    """A worker that lives, as far as its lease goes."""
    held = Prompts()
    queue.enlist(held.worker_id, held.public_key)
    return held


def send(instances=None, prompt=PROMPT, **changes):
    instances = instances or factories.InstanceFactory.create_batch(2)
    keys = {"actor": factories.UserFactory(), "command": "true", "request_key": uuid.uuid4().hex} | changes
    return services.send_command(keys.pop("actor"), instances=instances, prompt=prompt, **keys)


def orders(worker, run):
    return preparation.prepare(queue.claim(worker.worker_id, slots=10, run_id=run.pk), worker)


# ------------------------------------------------------------------ the box


def test_a_box_opens_for_its_key_and_owner_alone():
    key = BoxKey()
    box = seal_to(key.public, b"secret", owner="run|1")
    assert b"secret" not in box
    assert key.open(box, owner="run|1") == b"secret"
    assert seal_to(key.public, b"secret", owner="run|1") != box
    changed = [
        bytes([byte ^ 1 if at == place else byte for at, byte in enumerate(box)]) for place in (0, 40, len(box) - 1)
    ]
    for broken in (*changed, box[:-1], b""):
        with pytest.raises(BoxBroken):
            key.open(broken, owner="run|1")
    with pytest.raises(BoxBroken):
        key.open(box, owner="run|2")
    with pytest.raises(BoxBroken):
        BoxKey().open(box, owner="run|1")


# ------------------------------------------------------------------ from the form to the target


def test_those_without_a_credential_are_signed_in_to_with_what_was_entered(worker):
    lacking = factories.InstanceFactory(user_name="")
    has_user = factories.InstanceFactory(user_name="root")
    has_own = factories.InstanceFactory()
    owner = factories.UserFactory()
    kept = credentials.add_credential(owner, name="own", kind="password", user_name="own", secret="stored")
    credentials.attach(owner, credential=kept, instances=[has_own])
    run = send([lacking, has_user, has_own])
    assert PromptedPassword.objects.count() == 1
    first, second, third = orders(worker, run)
    assert first.target.auth == PasswordAuth("deploy", CANARY)
    assert second.target.auth == PasswordAuth("root", CANARY)
    assert third.target.auth == PasswordAuth("own", "stored")
    # Its row is gone with the first claim.
    assert not PromptedPassword.objects.exists()
    # A connection of its own: no other run may be lent it.
    assert first.target.key.run_id == run.pk
    assert CANARY not in repr(first)
    assert CANARY not in repr(PROMPT)


def test_it_is_kept_for_the_later_claims_of_the_run_and_forgotten_with_its_end(worker):
    run = send(options=services.Options(max_concurrency=1))
    (first,) = orders(worker, run)
    run.invocations.filter(ordinal=0).update(status="succeeded")
    (second,) = orders(worker, run)
    assert first.target.auth == second.target.auth
    keys = [first.target.key]
    assert keys[0] in preparation.current_keys(keys, worker)
    run.invocations.update(status="succeeded")
    queue.refresh_counts(run)
    worker.forget_ended()
    assert worker.run_ids == ()
    assert keys[0] not in preparation.current_keys(keys, worker)


def test_without_its_password_a_worker_leaves_the_run_to_those_that_have_it(worker):
    run = send()
    late = Prompts()
    queue.enlist(late.worker_id, late.public_key)
    assert orders(late, run) == []
    queue.discharge(worker.worker_id)
    refusals = orders(late, run)
    assert [type(one) for one in refusals] == [Refusal, Refusal]
    assert {one.reason for one in refusals} == {"credentials_missing"}
    assert "gone with the worker" in refusals[0].message
    assert not PromptedPassword.objects.exists()


def test_each_living_worker_gets_a_box_of_its_own(worker):
    other = Prompts()
    queue.enlist(other.worker_id, other.public_key)
    run = send()
    assert PromptedPassword.objects.count() == 2
    (one,) = (row for row in PromptedPassword.objects.all() if row.worker == worker.worker_id)
    PromptedPassword.objects.filter(pk=one.pk).update(worker=uuid.uuid4())
    PromptedPassword.objects.filter(worker=other.worker_id).update(worker=worker.worker_id)
    # What was sealed to another one does not open, and is not offered.
    assert orders(worker, run)[0].reason == "credentials_missing"


def test_an_instance_that_had_a_credential_when_it_was_sent_never_gets_the_password(worker):
    owner = factories.UserFactory()
    loses = factories.InstanceFactory(credential=factories.CredentialFactory())
    run = send([loses, factories.InstanceFactory()], actor=owner)
    credentials.attach(owner, credential=None, instances=[loses])
    assert orders(worker, run)[0].target.auth is None


def test_nothing_is_kept_where_every_instance_has_a_credential(worker):
    run = send([factories.InstanceFactory(credential=factories.CredentialFactory())])
    assert (run.prompt_holders, PromptedPassword.objects.count()) == ([], 0)


def test_what_is_left_of_an_ended_run_is_removed(worker):
    run = send()
    stopping.stop_run(run.actor, run=run)
    worker.forget_ended()
    assert not PromptedPassword.objects.exists()


# ------------------------------------------------------------------ what is refused, and what is recorded


@pytest.mark.parametrize(
    ("prompt", "field"),
    [
        (Prompt("", CANARY), "prompt_user"),
        (Prompt("-oX", CANARY), "prompt_user"),
        (Prompt("a b", CANARY), "prompt_user"),
        (Prompt("deploy", "two\nlines"), "prompt_password"),
    ],
)
def test_what_cannot_be_used_is_told_beside_its_field(worker, prompt, field):
    with pytest.raises(services.RunError) as error:
        send(prompt=prompt)
    assert error.value.field == field
    assert not Run.objects.exists()


def test_without_a_worker_nothing_is_sent():
    with pytest.raises(services.RunError, match="No worker"):
        send()
    assert not Run.objects.exists()


def test_the_user_name_is_recorded_and_the_password_is_nowhere(worker):
    run = send()
    entry = AuditEntry.objects.get(action="run.send")
    assert entry.details["prompted_user_name"] == "deploy"
    assert run.prompted_user_name == "deploy"
    for row in [*AuditEntry.objects.values(), *Run.objects.values(), *PromptedPassword.objects.values()]:
        assert CANARY not in str(row)


def test_remembering_makes_it_their_credential(worker):
    actor = factories.UserFactory(role="administrator")
    instances = factories.InstanceFactory.create_batch(2)
    run = send(instances, actor=actor, remember=True)
    kept = Credential.objects.get()
    assert kept.name == f"deploy on {instances[0].name}"
    assert {one.pk for one in kept.instances.all()} == {one.pk for one in instances}
    assert not PromptedPassword.objects.exists()
    assert orders(worker, run)[0].target.auth == PasswordAuth("deploy", CANARY)


def test_an_operator_may_not_have_it_remembered(worker):
    with pytest.raises(NotAllowed):
        send(actor=factories.UserFactory(role="operator"), remember=True)
    assert not Run.objects.exists()


# ------------------------------------------------------------------ the form


@pytest.fixture
def operator(client):
    user = factories.UserFactory(role="operator")
    client.force_login(user)
    return user


def test_the_dialog_says_who_lacks_a_credential(client, operator):
    lacking = factories.InstanceFactory(name="bare-1")
    served = factories.InstanceFactory(credential=factories.CredentialFactory())
    page = client.get(reverse("send-targets"), {"ids": f"{lacking.pk},{served.pk}"}).content.decode()
    assert 'data-lacking="1"' in page
    assert "bare-1" in page
    assert "a user name and a password" in " ".join(page.split())
    assert 'data-lacking="0"' in client.get(reverse("send-targets"), {"ids": str(served.pk)}).content.decode()


def test_a_refused_form_asks_again_and_never_shows_the_password(client, operator, worker):
    lacking = factories.InstanceFactory()
    given = {"command": "true", "command_type": "shell", "ids": str(lacking.pk), "prompt_password": CANARY}
    response = client.post(reverse("send"), given)
    assert response.status_code == 422
    page = response.content.decode()
    assert "Enter the user name" in page
    assert CANARY not in page
    assert 'name="remember"' not in page
    response = client.post(reverse("send"), given | {"prompt_user": "deploy"})
    assert response.status_code == 302
    assert PromptedPassword.objects.count() == 1
    assert "with a password entered for it" in client.get(response.url).content.decode()
