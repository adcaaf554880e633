import dataclasses
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from console.runs import retention
from console.runs.models import Run
from console.saved_commands import keeping
from instances.access.models import Role
from instances.audit.models import AuditEntry
from tests.support import factories
from tests.support.runs import ended_run, send

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _limits(settings, tmp_path):
    settings.ENV = dataclasses.replace(settings.ENV, retention_days=90, retention_bytes=10_000)
    settings.DATA_DIR = tmp_path


@pytest.fixture
def visitor(client):
    def signed_in(role=Role.ADMINISTRATOR, **fields):
        user = factories.UserFactory(role=role, **fields)
        client.force_login(user)
        return client

    return signed_in


def page(client):
    answer = client.get(reverse("retention"))
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def keep(client, saved, how, days=""):
    return client.post(reverse("keep-runs"), {"saved": saved.pk, "keep": how, "days": days})


# ------------------------------------------------------------------ the page


def test_the_page_says_the_rules_and_what_is_stored(visitor):
    ended_run(output=b"x" * 2048)
    said = page(visitor())
    assert "90 days after their end" in said
    assert "<dt>Runs</dt><dd>1</dd>" in said
    assert "2.0 KB of 9.8 KB" in said


def test_the_page_says_what_goes_when(visitor):
    ended_run(days_ago=91)
    ended_run(days_ago=86, output=b"x" * 2048)
    picture = visitor().get(reverse("retention")).context["picture"]
    assert [step.what for step in picture.ahead] == [
        "1 run older than 90 days",
        "2 runs older than 90 days",
        "2 runs older than 90 days",
    ]
    assert [step.run_bytes for step in picture.ahead] == [6, 2054, 2054]


@pytest.mark.parametrize(("ago_h", "ahead_h"), [(1, 23), (30, 0), (-5, 0)])
def test_the_next_round_is_a_day_after_the_last(visitor, settings, ago_h, ahead_h):
    last = timezone.now() - timedelta(hours=ago_h)
    (settings.DATA_DIR / "retention.lock").write_text(last.isoformat())
    at = visitor().get(reverse("retention")).context["picture"].ahead[0].at
    assert abs(at - timezone.now() - timedelta(hours=ahead_h)) < timedelta(minutes=1)


def test_the_last_rounds_come_from_the_audit(visitor):
    ended_run(days_ago=91)
    list(retention.carry_out(retention.plan(retention.Limits(90, 0)), actor=None))
    (done,) = visitor().get(reverse("retention")).context["picture"].rounds
    assert (done.by, done.run_count, done.output_count) == ("the console", 1, 0)


def test_names_of_others_commands_are_not_told(visitor):
    factories.saved_command(name="canary", is_shared=False, owner=factories.UserFactory(), keep_days=5)
    factories.saved_command(name="shared one", keep_days=0)
    assert "canary" not in page(visitor(Role.OPERATOR))
    said = page(visitor(Role.VIEWER))
    assert "shared one" in said
    assert "1 more of other people" in said
    assert "Keep so" not in said
    assert "canary" in page(visitor())


def test_how_many_queries_it_takes_does_not_depend_on_what_is_stored(visitor, django_assert_max_num_queries):
    client = visitor()
    for days in (0, 5, 100):
        run = ended_run(days_ago=8)
        saved = factories.saved_command(name=f"keep {days}", keep_days=days)
        Run.objects.filter(pk=run.pk).update(saved_version=saved.latest)
    with django_assert_max_num_queries(40):
        page(client)


# ------------------------------------------------------------------ rules of saved commands


def test_an_administrator_sets_any_rule(visitor):
    client, saved = visitor(), factories.saved_command(name="Up?")
    for how, days, kept in [("days", "7", 7), ("for_ever", "", 0), ("default", "", None)]:
        assert keep(client, saved, how, days).status_code == 302
        saved.refresh_from_db()
        assert saved.keep_days == kept
    assert AuditEntry.objects.filter(action="saved_command.keep_runs").first().details == {"days": None}


def test_an_operator_makes_it_longer_and_not_shorter(visitor):
    client, saved = visitor(Role.OPERATOR), factories.saved_command(name="Up?")
    answer = keep(client, saved, "days", "89")
    assert answer.status_code == 422
    assert "Ask an administrator" in answer.content.decode()
    assert keep(client, saved, "days", "91").status_code == 302
    assert keep(client, saved, "default").status_code == 422
    assert keep(client, saved, "for_ever").status_code == 302
    saved.refresh_from_db()
    assert saved.keep_days == 0


def test_an_administrator_of_one_group_is_no_administrator_of_retention(visitor):
    client = visitor(Role.ADMINISTRATOR, role_group=factories.GroupFactory())
    assert keep(client, factories.saved_command(name="Up?"), "days", "1").status_code == 422


def test_who_may_not_manage_saved_commands_sets_none(visitor):
    saved = factories.saved_command(name="Up?")
    assert keep(visitor(Role.VIEWER), saved, "for_ever").status_code == 403


def test_nobody_sets_a_rule_of_a_command_they_do_not_see(visitor):
    theirs = factories.saved_command(name="theirs", is_shared=False, owner=factories.UserFactory())
    assert keep(visitor(Role.OPERATOR), theirs, "for_ever").status_code == 422
    theirs.refresh_from_db()
    assert theirs.keep_days is None


@pytest.mark.parametrize("days", ["", "0", "-1", "36501", "soon", "9" * 30])
def test_a_number_that_is_none_is_refused_beside_its_field(visitor, days):
    answer = keep(visitor(), factories.saved_command(name="Up?"), "days", days)
    assert answer.status_code == 422
    assert answer.context["form"].errors.keys() == {"days"}


@pytest.mark.parametrize(
    ("days", "other", "longer"), [(0, 5, True), (5, 0, False), (0, 0, False), (6, 5, True), (5, 5, False)]
)
def test_for_ever_is_longest(days, other, longer):
    assert keeping.is_longer(days, other) is longer


# ------------------------------------------------------------------ the line of a run


def line_of(client, run):
    text = client.get(reverse("run", args=[run.pk])).content.decode()
    return " ".join(text.partition('id="run-kept">')[2].partition("</span>")[0].split())


def test_a_run_says_until_when_it_is_kept_and_when_its_output_went(visitor):
    client, run = visitor(), ended_run(output=b"x" * 20_000)
    until = (run.finished_at + timedelta(days=90)).strftime("%Y-%m-%d")
    assert line_of(client, run) == f"· kept until {until}"
    list(retention.carry_out(retention.plan(retention.Limits(90, 1)), actor=None))
    removed = run.invocations.get().output_removed_at.strftime("%Y-%m-%d")
    assert line_of(client, run) == f"· kept until {until} · output removed on {removed}"
    assert line_of(client, send()) == "· kept 90 days after its end"
    saved = factories.saved_command(name="Up?", keep_days=0)
    Run.objects.filter(pk=run.pk).update(saved_version=saved.latest)
    assert line_of(client, run).startswith("· kept for ever (<a")
