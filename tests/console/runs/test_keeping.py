"""Rules of saved commands: which of their runs retention removes, and which it leaves."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from console.runs import keeping, retention
from console.runs.models import Run
from console.runs.retention import Limits
from console.saved_commands.keeping import FOR_EVER, KeepingError, set_keep_days
from console.saved_commands.models import SavedCommand
from instances.access.models import Role
from tests.support import factories
from tests.support.runs import ended_run

pytestmark = pytest.mark.django_db
SETTING = Limits(days=90, output_bytes=0)


def saved_with(keep_days, name="Up?"):
    return factories.saved_command(name=name, keep_days=keep_days)


def run_of(saved, *, days_ago, version=None, **options):
    run = ended_run(days_ago=days_ago, **options)
    Run.objects.filter(pk=run.pk).update(saved_version=version or saved.latest)
    run.refresh_from_db()
    return run


def prune(limits=SETTING):
    for _ in retention.carry_out(retention.plan(limits), actor=None):
        pass
    return set(Run.objects.values_list("pk", flat=True))


def test_a_run_of_a_saved_command_kept_for_ever_survives():
    kept, usual = run_of(saved_with(0), days_ago=4000), run_of(saved_with(None, "df"), days_ago=91)
    assert prune() == {kept.pk}
    assert not Run.objects.filter(pk=usual.pk).exists()


def test_a_shorter_one_goes_earlier():
    saved = saved_with(7)
    over, young, other = run_of(saved, days_ago=8), run_of(saved, days_ago=6), ended_run(days_ago=8)
    assert prune() == {young.pk, other.pk}
    assert not Run.objects.filter(pk=over.pk).exists()


def test_a_longer_one_goes_later():
    saved = saved_with(400)
    over, young = run_of(saved, days_ago=401), run_of(saved, days_ago=399)
    assert prune() == {young.pk}
    assert not Run.objects.filter(pk=over.pk).exists()


def test_a_shorter_one_goes_also_where_the_setting_keeps_for_ever():
    over, other = run_of(saved_with(7), days_ago=8), ended_run(days_ago=4000)
    assert prune(Limits(days=0, output_bytes=0)) == {other.pk}
    assert not Run.objects.filter(pk=over.pk).exists()


def test_a_rule_made_longer_meanwhile_is_made_shorter_by_no_one_who_may_not():
    saved, operator = saved_with(7), factories.UserFactory(role=Role.OPERATOR)
    SavedCommand.objects.update(keep_days=FOR_EVER)
    with pytest.raises(KeepingError):
        set_keep_days(operator, saved=saved, days=30, setting_days=90)
    assert SavedCommand.objects.get().keep_days == FOR_EVER


def test_the_rule_counts_for_runs_of_every_version():
    saved = saved_with(0)
    first = saved.latest
    factories.add_version(saved, text="uptime -p")
    kept = run_of(saved, version=first, days_ago=100)
    assert prune() == {kept.pk}


def test_without_its_saved_command_a_run_follows_the_setting():
    saved = saved_with(0)
    run_of(saved, days_ago=100)
    saved.delete()
    assert prune() == set()


def test_an_archived_saved_command_still_rules():
    kept = run_of(factories.saved_command(name="old", keep_days=0, archived_at=timezone.now()), days_ago=100)
    assert prune() == {kept.pk}


def test_what_is_kept_for_ever_after_the_plan_survives():
    saved = saved_with(7)
    run = run_of(saved, days_ago=8)
    planned = retention.plan(SETTING)
    assert planned.runs == (run.pk,)
    saved.keep_days = 0
    saved.save()
    list(retention.carry_out(planned, actor=None))
    assert Run.objects.filter(pk=run.pk).exists()


def test_above_the_limit_what_is_kept_longer_loses_its_output_last():
    kept = run_of(saved_with(0), days_ago=80, output=b"x" * 1000)
    first, second = ended_run(days_ago=40, output=b"x" * 1000), ended_run(days_ago=20, output=b"x" * 1000)
    assert retention.plan(Limits(90, 2999)).output_of == (first.pk,)
    assert retention.plan(Limits(90, 1000)).output_of == (first.pk, second.pk)
    assert retention.plan(Limits(90, 999)).output_of == (first.pk, second.pk, kept.pk)
    assert retention.plan(Limits(0, 2999)).output_of == (kept.pk,)


def test_the_sentence_names_the_days_only_if_they_were_the_reason():
    ended_run(days_ago=91)
    assert retention.sentence("Removed", retention.plan(SETTING).amount, SETTING) == "Removed 1 run older than 90 days"
    run_of(saved_with(7), days_ago=8)
    assert (
        retention.sentence("Removed", retention.plan(SETTING).amount, SETTING) == "Removed 2 runs whose time was over"
    )


def test_a_forecast_says_what_will_be_gone_by_then():
    ended_run(days_ago=91, output=b"x" * 100)
    ended_run(days_ago=85, output=b"x" * 1000)
    run_of(saved_with(0), days_ago=85)
    now = timezone.now()
    _, (first, second) = retention.forecast(SETTING, [now, now + timedelta(days=7)])
    assert (len(first.runs), first.run_bytes) == (1, 100)
    assert (len(second.runs), second.run_bytes) == (2, 1100)


@pytest.mark.parametrize(
    ("own", "days", "kept_days"), [(None, 90, 90), (7, 90, 7), (0, 90, None), (None, 0, None)], ids=str
)
def test_a_run_says_until_when_it_is_kept(own, days, kept_days):
    run = run_of(saved_with(own), days_ago=1)
    found = keeping.keeping_of(run, days)
    assert found.until == (None if kept_days is None else run.finished_at + timedelta(days=kept_days))
    assert found.is_own is (own is not None)


def test_looking_costs_few_queries_and_reads_no_whole_table():
    for days in (0, 7, 400):
        run_of(saved_with(days, f"keep {days}"), days_ago=8)
    statements = []

    def listen(execute, sql, params, many, context):
        statements.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(listen):
        retention.plan(Limits(days=5, output_bytes=1))
    assert len(statements) <= 8
    with connection.cursor() as cursor:
        for sql, params in statements:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
            scans = [row[3] for row in cursor.fetchall() if "SCAN" in row[3]]
            small = ("stored_output", "recheck_invocations", "kept_by_own_rule")
            assert all(step.endswith(tuple(f"INDEX {name}" for name in small)) for step in scans), (sql, scans)
