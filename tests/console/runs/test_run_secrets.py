import io

import pytest
from django.core.management import call_command
from django.utils import timezone

from console.runs import queue, run_secrets, services, stopping
from console.runs.journal import Journal
from console.runs.models import Run, RunSecrets
from console.runs.prompts import Prompts
from console.runs.services import RunError
from console.runs.status import Status
from console.worker import preparation, writer
from console.worker.preparation import Order
from instances.audit.models import AuditEntry
from instances.credentials import vault
from tests.support.runs import enlisted_worker, journal_of, send

pytestmark = pytest.mark.django_db
SECRET = "k4nary-of-the-run"


def claimed(run: Run) -> tuple[Journal, queue.Claim]:
    (claim,) = queue.claim(enlisted_worker(), slots=1, run_id=run.pk)
    return journal_of(claim), claim


def test_what_surrounds_a_command_reaches_the_engine():
    run = send(
        run_as="app",
        arguments=("a", "b\n"),
        environment=(("A", "1"),),
        secrets=(("TOKEN", SECRET),),
        script_name="deploy.sh",
    )
    _, claim = claimed(run)
    (order,) = preparation.prepare([claim], Prompts())
    assert isinstance(order, Order)
    assert (order.command.run_as, order.command.arguments) == ("app", ("a", "b\n"))
    assert order.command.environment == (("A", "1"), ("TOKEN", SECRET))
    assert order.secrets == (SECRET,)
    assert SECRET not in repr(order) + repr(services.Options(secrets=(("T", SECRET),)))


def test_a_secret_is_stored_sealed_and_in_no_entry():
    run = send(secrets=(("TOKEN", SECRET),), environment=(("A", "1"),), run_as="app")
    kept = RunSecrets.objects.get()
    assert SECRET.encode() not in bytes(kept.sealed)
    assert SECRET not in str(Run.objects.values().get())
    details = AuditEntry.objects.get(action="run.send").details
    assert (details["secret_variables"], details["variables"], details["run_as"]) == (["TOKEN"], ["A"], "app")
    assert SECRET not in str(details)
    with pytest.raises(vault.SealBroken):
        vault.open_sealed(bytes(kept.sealed), owner=f"run|{run.pk + 1}|environment")


def test_a_secret_goes_with_the_end_of_its_run_and_not_before():
    run = send(2, secrets=(("TOKEN", SECRET),), max_concurrency=1)
    for left in (1, 0):
        journal, _ = claimed(run)
        assert RunSecrets.objects.exists()
        journal.set(Status.RUNNING, started_at=timezone.now())
        journal.finish(Status.SUCCEEDED, at=timezone.now(), exit_status=0)
        writer.commit([(journal, journal.take())])
        assert RunSecrets.objects.count() == left
    assert run_secrets.opened([Run.objects.get()]) == {run.pk: None}


def test_a_stop_of_what_is_queued_removes_it_too():
    run = send(secrets=(("TOKEN", SECRET),))
    stopping.stop_run(run.actor, run=run)
    assert not RunSecrets.objects.exists()


def test_a_secret_that_does_not_open_any_more_is_a_refusal():
    run = send(secrets=(("TOKEN", SECRET),))
    RunSecrets.objects.update(sealed=b"x" * 40)
    _, claim = claimed(run)
    (refusal,) = preparation.prepare([claim], Prompts())
    assert refusal == preparation.SECRETS_UNREADABLE


def test_old_keys_stay_while_a_run_that_waits_needs_them_and_a_rotation_seals_its_secrets_again(
    settings, tmp_path, capsys
):
    settings.DATA_DIR = tmp_path
    run = send(secrets=(("TOKEN", SECRET),))
    # As when the run was sent while the keys were rotated.
    vault.rotate()
    with pytest.raises(SystemExit):
        call_command("rotate_keys", "--drop-old")
    assert "1 secret is still sealed" in capsys.readouterr().err
    assert run_secrets.opened([run]) == {run.pk: (("TOKEN", SECRET),)}
    out = io.StringIO()
    call_command("rotate_keys", stdout=out)
    call_command("rotate_keys", "--drop-old", stdout=out)
    assert out.getvalue().startswith("1 secret sealed with a new key; none left under older ones.")
    assert run_secrets.opened([run]) == {run.pk: (("TOKEN", SECRET),)}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"run_as": "-x"}, "run_as"),
        ({"run_as": "#0"}, "run_as"),
        ({"run_as": "a b"}, "run_as"),
        ({"environment": (("IFS", ""),)}, "environment"),
        ({"secrets": (("A", ""),)}, "secret_environment"),
        ({"arguments": ("\0",)}, "arguments"),
    ],
)
def test_what_cannot_be_sent_is_refused_beside_its_field(options, field):
    with pytest.raises(RunError) as raised:
        send(**options)
    assert raised.value.field == field
    assert not Run.objects.exists()
