import dataclasses
import io

import pytest
from django.core.management import call_command

from console.runs import retention
from console.runs.models import Output, Run
from instances.audit.models import AuditEntry
from tests.support.runs import ended_run

pytestmark = pytest.mark.django_db(transaction=True)

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def _limits(settings):
    settings.ENV = dataclasses.replace(settings.ENV, retention_days=90, retention_bytes=10 * MIB)


def prune(*arguments):
    out = io.StringIO()
    call_command("prune", *arguments, stdout=out)
    return out.getvalue()


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        call_command("prune", *arguments)
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


@pytest.mark.sqlite
def test_it_says_what_was_removed_and_how_much_smaller_the_database_is():
    for _ in range(3):
        ended_run(output=b"x" * MIB, days_ago=91)
    for _ in range(2):
        ended_run(output=b"x" * (6 * MIB))
    said = prune("--bytes", "5000000")
    assert said.startswith("Removed 3 runs older than 90 days, the output of 2 runs (12.0 MB); the database is ")
    megabytes = float(said.removesuffix(" MB smaller.\n").rpartition(" ")[2])
    assert 14 < megabytes < 17
    assert Run.objects.count() == 2
    assert not Output.objects.exists()


def test_the_limits_are_those_of_the_settings():
    ended_run(days_ago=91)
    ended_run(output=b"x" * (11 * MIB))
    ended_run()
    assert prune().startswith("Removed 1 run older than 90 days, the output of 1 run (11.0 MB)")
    assert Run.objects.count() == 2


def test_other_limits_can_be_given():
    ended_run(days_ago=2)
    assert prune("--days", "1").startswith("Removed 1 run older than 1 day")


def test_0_is_without_limit():
    ended_run(output=b"x" * (11 * MIB), days_ago=200)
    assert prune("--days", "0", "--bytes", "0") == "Nothing was removed.\n"


def test_a_dry_run_says_the_same_and_removes_nothing():
    ended_run(days_ago=91)
    ended_run(output=b"x" * 1000)
    said = prune("--dry-run", "--bytes", "10")
    assert said == "Would remove 1 run older than 90 days, the output of 1 run (1000 bytes).\n"
    assert Run.objects.count() == Output.objects.count() == 2
    assert prune("--dry-run", "--days", "0") == "Nothing would be removed.\n"
    assert not AuditEntry.objects.filter(action="retention.prune").exists()


def test_who_typed_it_is_in_the_audit_entry(monkeypatch):
    monkeypatch.setenv("LOGNAME", "ada")
    ended_run(days_ago=91)
    prune()
    entry = AuditEntry.objects.get(action="retention.prune")
    assert (entry.actor_name, entry.details["os_user"]) == ("cli", "ada")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--days", "soon"], "--days: soon is not a whole number from 0 to 36500."),
        (["--days", "-1"], "--days: -1 is not"),
        (["--days", "36501"], "--days: 36501 is not"),
        (["--bytes", "10GB"], "--bytes: 10GB is not a whole number from 0 up."),
        (["--bytes", ""], "--bytes:  is not"),
        (["--bytes", "9" * 5000], "is not"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(capsys, arguments, sentence):
    ended_run(days_ago=400)
    assert sentence in refused(capsys, *arguments)
    assert Run.objects.count() == 1


def test_two_do_not_prune_at_a_time(capsys):
    ended_run(days_ago=400)
    with retention.Turn():
        assert "at it already" in refused(capsys)
    assert Run.objects.count() == 1
