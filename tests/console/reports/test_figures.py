from datetime import timedelta

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from console.reports import figures
from console.runs.models import Run
from instances.access.models import Role
from tests.support import factories
from tests.support.runs import ended_run, run_with, send

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client):
    client.force_login(factories.UserFactory())
    return client


@pytest.fixture
def saved():
    return factories.saved_command(name="Up?", text="uptime")


def run_of(saved, *, days_ago=0, now=None, counts=None, version=None):
    run = send()
    then = (now or timezone.now()) - timedelta(days=days_ago)
    fields = {"counts": counts or {"succeeded": 1}, "created_at": then, "saved_version": version or saved.latest}
    Run.objects.filter(pk=run.pk).update(**fields)
    return run


def history(client, saved, **query):
    answer = client.get(reverse("saved-history", args=[saved.pk]), query)
    assert answer.status_code == 200
    return answer.context["outcomes"]


# ------------------------------------------------------------------ how runs ended


def test_one_bar_for_each_run_of_any_version_the_newest_last(admin, saved):
    first = run_of(saved, counts={"succeeded": 3, "timed_out": 1, "failed": 1, "unreachable": 2})
    second = run_of(saved, version=factories.add_version(saved, text="uptime -p"), counts={"stopped": 4, "lost": 1})
    run_of(factories.saved_command(name="other"))
    found = history(admin, saved)
    assert [shape.kind for shape in found.chart.shapes] == ["succeeded", "failed", "did_not_run", "stopped", "lost"]
    assert [row.label for row in found.rows] == [f"Run {second.pk}", f"Run {first.pk}"]
    assert [row.numbers for row in found.rows] == [[0, 0, 0, 4, 1], [3, 2, 2, 0, 0]]
    assert [row.href for row in found.rows] == [reverse("run", args=[run.pk]) for run in (second, first)]
    assert "3 succeeded, 2 failed or timed out, 2 did not run" in found.chart.shapes[0].title


def test_what_goes_on_is_in_no_bar(admin, saved):
    run_of(saved, counts={"running": 2, "queued": 3, "succeeded": 1})
    assert history(admin, saved).rows[0].numbers == [1, 0, 0, 0, 0]


def test_one_bar_for_each_day_also_for_those_without_a_run(admin, saved):
    now = timezone.now()
    for days_ago, number in [(61, 100), (3, 1), (3, 2), (1, 5)]:
        run_of(saved, days_ago=days_ago, now=now, counts={"succeeded": number})
    found = [row.numbers[0] for row in history(admin, saved, per="day").rows]
    # At midnight another day has begun meanwhile.
    is_tomorrow = timezone.now().date() != now.date() and len(found) == 5
    assert found == [0] * is_tomorrow + [0, 5, 0, 3]


def test_only_the_latest_are_looked_at(admin, saved, monkeypatch):
    monkeypatch.setattr(figures, "RUNS_SHOWN", 2)
    runs = [run_of(saved) for _ in range(3)]
    found = history(admin, saved)
    assert found.is_cut
    assert [row.label for row in found.rows] == [f"Run {run.pk}" for run in runs[:0:-1]]


def test_only_what_one_sees_is_counted(client, saved):
    group = factories.GroupFactory()
    run = ended_run(2, instances=[factories.InstanceFactory(group=group), factories.InstanceFactory()])
    Run.objects.filter(pk=run.pk).update(saved_version=saved.latest)
    run_of(saved)
    client.force_login(factories.UserFactory(role=Role.VIEWER, role_group=group))
    assert [row.numbers[0] for row in history(client, saved).rows] == [1]


def test_without_a_run_the_page_says_so(admin, saved):
    assert "There is no run of it yet." in admin.get(reverse("saved-history", args=[saved.pk])).content.decode()


def test_a_private_command_of_another_is_not_found(admin):
    theirs = factories.saved_command(name="theirs", is_shared=False, owner=factories.UserFactory())
    assert admin.get(reverse("saved-history", args=[theirs.pk])).status_code == 404


@pytest.mark.parametrize("per", ["run", "day"])
def test_how_many_queries_it_takes_does_not_depend_on_the_number_of_runs(
    admin, saved, per, django_assert_max_num_queries
):
    for _ in range(5):
        run_of(saved)
    with django_assert_max_num_queries(15):
        history(admin, saved, per=per)


# ------------------------------------------------------------------ how long instances took


def took(run, *seconds):
    now = timezone.now()
    for row, taken in zip(run.invocations.all(), seconds, strict=True):
        row.started_at, row.finished_at = now - timedelta(seconds=taken), now
        row.save()


def report(client, run):
    answer = client.get(reverse("run-report", args=[run.pk]))
    assert answer.status_code == 200
    return answer.context["durations"]


def test_durations_are_counted_with_median_and_95_percent(admin):
    run = ended_run(20)
    took(run, *range(1, 20), 400)
    found = report(admin, run)
    assert (found.number, found.median_s, found.p95_s, found.longest_s) == (20, 10, 19, 400)
    assert sum(number for _, number in found.rows) == 20
    assert found.rows[-1] == ("6 min 20 s to 6 min 40 s", 1)
    assert [mark.label for mark in found.chart.values] == ["half: 10.0 s", "95 %: 19.0 s"]


def test_all_the_same_and_nothing_at_all_are_drawn_too(admin):
    run = ended_run(2)
    took(run, 0, 0)
    assert report(admin, run).rows == [("0 s to 1 s", 2)]


def test_a_clock_that_was_set_back_makes_no_negative_duration(admin):
    run = ended_run(2)
    took(run, -5, 1)
    assert report(admin, run).median_s == 0


def test_a_run_that_has_not_begun_has_no_chart(admin):
    run = send()
    assert report(admin, run) is None
    assert "has started the command and ended yet" in admin.get(reverse("run-report", args=[run.pk])).content.decode()


def test_only_what_one_sees_is_measured(client):
    group = factories.GroupFactory()
    run = run_with(
        (b"1", b"", 0), (b"2", b"", 0), instances=[factories.InstanceFactory(group=group), factories.InstanceFactory()]
    )
    client.force_login(factories.UserFactory(role=Role.VIEWER, role_group=group))
    assert report(client, run).number == 1


# ------------------------------------------------------------------ as HTML


def test_a_chart_says_in_words_what_it_shows(admin, saved):
    run_of(saved, counts={"succeeded": 3, "failed": 1})
    text = admin.get(reverse("saved-history", args=[saved.pk])).content.decode()
    assert 'role="img" aria-labelledby="outcomes-title outcomes-text"' in text
    assert '<title id="outcomes-title">Instances by how they ended, per run</title>' in text
    # Kinds differ by more than colour.
    assert 'fill="url(#pattern-failed)"' in text
    assert "style=" not in text.partition("<main")[2]
    assert "The same as a table" in text


# ------------------------------------------------------------------ however long the history is


def test_runs_are_found_by_an_index(admin, saved):
    """Neither the chart nor the runs to compare with read all runs there are."""
    run = run_of(saved)
    statements = []

    def listen(execute, sql, params, many, context):
        statements.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(listen):
        history(admin, saved)
        history(admin, saved, per="day")
        admin.get(reverse("run-compare", args=[run.pk]))
    asked = [(sql, params) for sql, params in statements if 'FROM "console_run"' in sql]
    assert len(asked) >= 4
    with connection.cursor() as cursor:
        for sql, params in asked:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
            steps = [row[3] for row in cursor.fetchall()]
            assert not [step for step in steps if step.startswith("SCAN")], (sql, steps)
            assert not [step for step in steps if "(rowid<?)" in step or "INTEGER PRIMARY KEY (rowid<" in step], steps
