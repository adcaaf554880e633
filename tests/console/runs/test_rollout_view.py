"""Rollouts in the pages: the fields of the form, the bar on the panel, answers without JavaScript."""

import re

import pytest
from django.urls import reverse

from console.runs import attempts, history, queue, viewing
from console.runs.models import Run
from console.runs.presentation import run_view
from console.runs.rate import Rollout
from instances.access.models import Role
from tests.support import factories
from tests.support.runs import enlisted_worker, send

pytestmark = pytest.mark.django_db
ENTERED = {
    "max_concurrency": "10%",
    "max_errors": "5%",
    "first": "1",
    "ask_unless_ok": "1",
    "batch_size": "25%",
    "batch_pause_s": "30",
    "ask_between": "1",
    "ignore_unreachable": "1",
    "connect_attempts": "3",
    "connect_delay_s": "5",
}


@pytest.fixture
def operator(client):
    user = factories.UserFactory(role=Role.OPERATOR)
    client.force_login(user)
    client.user = user
    return client


def submit(client, count=40, **fields):
    ids = ",".join(str(instance.pk) for instance in factories.InstanceFactory.create_batch(count))
    return client.post(reverse("send"), {"command_type": "shell", "command": "true", "ids": ids, **fields})


def waiting_run(count=4, **rollout):
    run = send(count, rollout=Rollout(first="2", **rollout))
    worker = enlisted_worker()
    ids = [claim.invocation_id for claim in queue.claim(worker, slots=10)]
    run.invocations.filter(pk__in=ids).update(status="succeeded", revision=queue.next_revision(run))
    queue.refresh_counts(run)
    return run


def page_of(client, run):
    return client.get(reverse("run", args=[run.pk])).content.decode()


def bar_of(page):
    """The words of the bar, without its buttons' icons."""
    found = re.search(r'<form id="run-rollout".*?</form>', page, re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found[0])).strip() if found else None


def test_what_is_entered_is_kept_and_shown_with_what_it_comes_to(operator):
    answer = submit(operator, **ENTERED)
    assert answer.status_code == 302
    run = Run.objects.get()
    assert (run.max_concurrency, run.max_errors, run.batch_count) == (4, 2, 5)
    page = operator.get(answer.url).content.decode()
    for words in ("10% = 4 at a time", "stops after 5% = 2 errors, unreachable not counted", "first on 1, then asks"):
        assert words in page
    assert "Batch 1 of 5" in bar_of(page)
    assert "batch 2</span>" in page


def test_sent_again_the_form_has_what_was_entered(operator):
    submit(operator, **ENTERED)
    again = history.as_initial(Run.objects.get())
    assert {name: str(again[name]) for name in ENTERED} == ENTERED
    page = operator.get(reverse("send"), {"again": Run.objects.get().pk}).content.decode()
    assert re.search(r'name="batch_size"[^>]* value="25%"', page)
    assert re.search(r'name="ask_between".*?<option value="1" selected>', page, re.DOTALL)


def test_what_is_left_empty_is_the_default(operator):
    submit(operator, 2, max_concurrency="", connect_attempts="")
    run = Run.objects.get()
    assert (run.max_concurrency, run.max_errors, run.rollout, run.batch_count) == (50, None, {}, 1)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"max_concurrency": "all"}, "Enter a number from 1 to 1000, or a percentage"),
        ({"max_concurrency": "0%"}, "percentage"),
        ({"max_errors": "few"}, "Enter a number from 0 on, or a percentage"),
        ({"first": "-1"}, "Enter a number from 1 on"),
        ({"batch_size": "200%"}, "Enter a number from 1 on"),
        ({"batch_pause_s": "5"}, "nothing between batches"),
        ({"connect_attempts": "6"}, "Between 1 and 5 attempts"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_input_is_told_beside_the_field_and_nothing_is_lost(operator, fields, says):
    answer = submit(operator, 1, **({"environment": "A=1"} | fields))
    assert answer.status_code == 422
    ((name, value),) = fields.items()
    page = answer.content.decode()
    field = page[page.index(f'name="{name}"') :]
    assert says in field[: field.index("</div>")]
    assert f'value="{value}"' in page
    assert "A=1" in page
    assert not Run.objects.exists()


def test_the_bar_asks_with_how_the_first_ones_went(operator):
    run = waiting_run()
    page = page_of(operator, run)
    assert bar_of(page).startswith("2 of 2 succeeded. Go on with batch 2 of 2? 2 instances have not started.")
    assert "data-asks" in page
    assert "Waiting for an answer" in operator.get(reverse("runs")).content.decode()
    assert "Waiting for an answer" in operator.get(reverse("runs"), {"state": "waiting"}).content.decode()


def test_a_viewer_sees_the_question_and_no_buttons(client):
    run = waiting_run()
    client.force_login(factories.UserFactory(role=Role.VIEWER))
    assert bar_of(page_of(client, run)) == (
        "2 of 2 succeeded. Go on with batch 2 of 2? 2 instances have not started. "
        "Whoever may send to all of them can answer."
    )


@pytest.mark.parametrize(
    ("do", "status"), [("continue", "running"), ("decline", "partial"), ("pause", "paused")], ids=str
)
def test_one_answers_without_javascript(operator, do, status):
    run = waiting_run()
    answer = operator.post(reverse("answer-run", args=[run.pk]), {"do": do, "batch": "1"})
    assert answer.url == reverse("run", args=[run.pk])
    run.refresh_from_db()
    assert run.status == status


def test_an_answer_that_there_is_not_is_refused(operator):
    run = waiting_run()
    assert operator.post(reverse("answer-run", args=[run.pk]), {"do": "dance"}).status_code == 400


def test_the_bar_says_when_the_next_batch_starts_and_goes_with_the_last_one(operator):
    run = waiting_run(batch_pause_s=90, ask_unless_ok=True)
    assert "Batch 2 of 2 starts in 1 min 30 s Continue now" in bar_of(page_of(operator, run))
    operator.post(reverse("answer-run", args=[run.pk]), {"do": "continue", "batch": "1"})
    queue.claim(enlisted_worker(), slots=10)
    assert bar_of(page_of(operator, run)) is None


def test_a_paused_run_says_who_paused_it(operator):
    run = send(3)
    operator.post(reverse("answer-run", args=[run.pk]), {"do": "pause"})
    assert bar_of(page_of(operator, run)) == f"Paused by {operator.user.username}. Nothing new starts. Resume"


def test_every_viewer_is_sent_the_bar_when_it_comes_and_when_it_goes():
    run = send(3, rollout=Rollout(first="1"))
    looks = [viewing.Watching(user, run.pk, "all", 1) for user in (run.actor, factories.UserFactory())]
    worker = enlisted_worker()
    (claim,) = queue.claim(worker, slots=1)
    for look in looks:
        assert "data-asks" not in look.news()
    run.invocations.filter(pk=claim.invocation_id).update(status="failed", revision=queue.next_revision(run))
    queue.refresh_counts(run)
    assert all("0 of 1 succeeded." in look.news() for look in looks)
    viewing.answer(run.actor, run.pk, "continue", 1)
    assert all("data-asks" not in look.news() for look in looks)


def test_who_sees_a_part_of_a_run_is_told_how_that_part_went():
    group = factories.GroupFactory()
    mine = factories.InstanceFactory.create_batch(2, group=group)
    run = send(instances=[mine[0], factories.InstanceFactory(), mine[1]], rollout=Rollout(first="2"))
    queue.claim(enlisted_worker(), slots=2)
    run.invocations.filter(ordinal__lt=2).update(status="succeeded", revision=queue.next_revision(run))
    queue.refresh_counts(run)
    user = factories.UserFactory(role=Role.VIEWER, role_group=group)
    shown = run_view(user, Run.objects.get()).rollout
    assert (shown.succeeded, shown.ended, shown.left) == (1, 1, 1)


def test_a_row_that_waits_for_another_attempt_says_which(operator):
    run = send(1, rollout=Rollout(connect_attempts=3))
    worker = enlisted_worker()
    for number in (1, 2):
        (claim,) = queue.claim(worker, slots=1)
        message = f"Attempt {number} of 3; the next in 10 s."
        assert attempts.try_again_later(claim, delay_s=0, reason="refused", message=message)
    page = page_of(operator, run)
    assert "attempt 2</span>" in page
    assert "Attempt 2 of 3; the next in 10 s." in page
