"""Runs in batches under any order of events, beside a simulator of the rules, and under several at once."""

import functools
import threading
import uuid

import pytest
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from console.runs import queue
from console.runs.answers import Answer, answer
from console.runs.models import Invocation, Run, WorkerLease
from console.runs.rate import EVERYTHING, Rollout, plan
from console.runs.status import ACTIVE, END, ERRORS, Status
from instances.access.models import Role
from tests.support import factories
from tests.support.rollouts import end, fresh, put_back, rollout, take
from tests.support.runs import enlisted_worker, send

pytestmark = pytest.mark.django_db


# ------------------------------------------------------------------ any order of events, beside a simulator

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("claim"), st.integers(0, 2), st.integers(1, 6)),
        st.tuples(st.just("end"), st.integers(0, 20), st.sampled_from(sorted(END))),
        st.tuples(st.just("start"), st.integers(0, 20)),
        st.tuples(st.just("crash"), st.integers(0, 2)),
        st.tuples(st.just("retry"), st.integers(0, 20)),
        st.tuples(st.just("answer"), st.sampled_from([Answer.CONTINUE, Answer.PAUSE, Answer.RESUME])),
        st.tuples(st.just("time")),
    ),
    max_size=25,
)
_WORKERS = [uuid.uuid4() for _ in range(3)]


class Simulator:
    """What the rules allow, kept apart from the code that keeps them: sizes of batches, errors, answers."""

    def __init__(self, sizes, max_concurrency, max_errors, asks):
        self.sizes, self.max_concurrency, self.max_errors, self.asks = sizes, max_concurrency, max_errors, asks
        self.answers = 0
        self.is_paused = False

    def check_start(self, before, after):
        """``before`` and ``after``: statuses in order; some of those queued were started between them."""
        started = [i for i, (old, new) in enumerate(zip(before, after, strict=True)) if old == "queued" != new]
        started = [i for i in started if after[i] in ACTIVE]
        if not started:
            return
        assert sum(status in ACTIVE for status in after) <= self.max_concurrency
        assert not self.is_paused
        errors = sum(status in ERRORS for status in before)
        assert self.max_errors is None or errors <= self.max_errors
        batch_of = [number for number, size in enumerate(self.sizes) for _ in range(size)]
        latest = batch_of[max(started)]
        earlier = [status for status, number in zip(before, batch_of, strict=True) if number < latest]
        assert all(status in END for status in earlier), "a batch began before the former had ended"
        if self.asks:
            assert latest <= self.answers, "a batch began that nobody had answered for"


@settings(max_examples=15)
@given(
    total=st.integers(1, 9),
    first=st.integers(0, 3),
    size=st.integers(0, 4),
    max_concurrency=st.integers(1, 5),
    max_errors=st.one_of(st.none(), st.integers(0, 3)),
    asks=st.booleans(),
    steps=STEPS,
)
def test_never_more_is_started_than_the_limits_allow(total, first, size, max_concurrency, max_errors, asks, steps):
    fields = {"first": str(first or ""), "batch_size": str(size or ""), "ask_between": asks and bool(first or size)}
    limits = {"max_concurrency": max_concurrency, "max_errors": max_errors}
    with transaction.atomic():
        for worker in _WORKERS:
            WorkerLease.objects.create(id=worker, process_id=1, boot_id="b", expires_ns=2**62)
        run = send(total, **limits, **rollout(**fields))
        model = Simulator(plan(Rollout(**fields), total=total, **limits).sizes, max_concurrency, max_errors, asks)
        for name, *given_values in steps:
            before = statuses(run)
            _STEP[name](run, model, *given_values)
            model.check_start(before, statuses(run))
            check_sound(run)
        finish(run, model)
        transaction.set_rollback(True)


def statuses(run):
    return list(run.invocations.order_by("ordinal").values_list("status", flat=True))


def check_sound(run):
    run = fresh(run)
    assert run.open_before == EVERYTHING or run.open_before < run.target_count
    if run.gate or run.status in {"waiting", "paused"}:
        assert run.invocations.filter(status="queued").exists()


def finish(run, model):
    """Whatever happened: answered and given time, every run comes to its end."""
    for _ in range(3 * run.target_count + 3):
        if fresh(run).has_ended:
            return
        for what in (Answer.RESUME, Answer.CONTINUE):
            say(run, model, what)
        pass_time(run, model)
        before = statuses(run)
        claim_some(run, model, 0, 9)
        model.check_start(before, statuses(run))
        for _ in active_of(run):
            end_one(run, model, 0, Status.SUCCEEDED)
    raise AssertionError(statuses(run))


def active_of(run):
    return list(run.invocations.filter(status__in=sorted(ACTIVE)).order_by("ordinal"))


def claim_some(run, model, number, slots):
    queue.claim(_WORKERS[number], slots=slots)


def pick(run, number, **conditions):
    rows = [row for row in active_of(run) if all(getattr(row, name) == value for name, value in conditions.items())]
    return rows[number % len(rows)] if rows else None


def end_one(run, model, number, status):
    if (row := pick(run, number)) is not None:
        end([row.pk], status)


def start_one(run, model, number):
    if (row := pick(run, number, status="connecting")) is not None:
        Invocation.objects.filter(pk=row.pk).update(status="running", start_sent_at=timezone.now())
        queue.refresh_counts(fresh(run))


def crash(run, model, number):
    """A worker dies; another reaps what it held."""
    mine = run.invocations.filter(owner=_WORKERS[number], status__in=sorted(ACTIVE))
    WorkerLease.objects.filter(pk=_WORKERS[number]).delete()
    queue._resolve(mine)
    WorkerLease.objects.create(id=_WORKERS[number], process_id=1, boot_id="b", expires_ns=2**62)


def retry(run, model, number):
    if (row := pick(run, number, status="connecting", start_sent_at=None)) is not None:
        put_back(queue.Claim(row.pk, run.pk, row.instance_id, row.fence, row.attempt))


def say(run, model, what):
    waits = fresh(run).gate == "ask"
    if answer(run.actor, run=run, what=what):
        if what == Answer.CONTINUE and waits:
            # An answer is about the batch that waits, whichever it is by now.
            model.answers = fresh(run).batch
        elif what != Answer.CONTINUE:
            model.is_paused = what == Answer.PAUSE


def pass_time(run, model):
    run.invocations.exclude(retry_at=None).update(retry_at=timezone.now())
    Run.objects.filter(pk=run.pk).exclude(gate_until=None).update(gate_until=timezone.now())


_STEP = {
    "claim": claim_some,
    "end": end_one,
    "start": start_one,
    "crash": crash,
    "retry": retry,
    "answer": say,
    "time": pass_time,
}


# ------------------------------------------------------------------ several at once


def all_at_once(*calls):
    """Make calls in threads of their own; return what they returned."""
    answers = []

    def make(call):
        try:
            answers.append(call())
        finally:
            connection.close()

    threads = [threading.Thread(target=make, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    return answers


@pytest.mark.django_db(transaction=True)
def test_racing_workers_and_answers_keep_to_the_first_ones_and_the_limit():
    run = send(20, max_concurrency=4, **rollout(first="3", batch_size="50%"))
    claimers = [functools.partial(take, enlisted_worker(), 3) for _ in range(4)]
    first = [pk for claimed in all_at_once(*claimers, *claimers) for pk in claimed]
    assert len(first) == len(set(first)) == 3
    with transaction.atomic():
        end(first)
    others = [factories.UserFactory(role=Role.OPERATOR) for _ in range(3)]
    said = [functools.partial(answer, user, run=run, what=Answer.CONTINUE, batch=1) for user in others]
    assert sorted(all_at_once(*said)) == [False, False, True]
    second = [pk for claimed in all_at_once(*claimers, *claimers) for pk in claimed]
    assert len(second) == len(set(second)) == 4
    assert set(Invocation.objects.filter(pk__in=second).values_list("batch", flat=True)) == {1}
