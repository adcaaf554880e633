"""What becomes of due times: started, missed, left out or refused; once each, whoever looks, whatever a clock does."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console.members import services as members
from console.runs import services as runs
from console.runs.models import Run
from console.saved_commands import services as saved_commands
from console.schedules import firing, services
from console.schedules.models import Firing, Outcome, Overlap, Schedule, Source
from console.schedules.timing import Kind, Rule, Unit
from instances.access.models import Grant, Role
from instances.access.rules import NotAllowed
from instances.audit.models import AuditEntry
from instances.inventory.models import Instance
from tests.console.schedules.conftest import look, outcomes, utc
from tests.support import factories

pytestmark = pytest.mark.django_db
NOON = utc(2026, 6, 1, 12)
MINUTE = timedelta(minutes=1)


def end(run: Run, at=None) -> None:
    Run.objects.filter(pk=run.pk).update(finished_at=at or timezone.now())


# ------------------------------------------------------------------ on time


def test_a_due_time_makes_one_run_as_its_owner_and_the_next_time_moves_on(make, owner, instance):
    schedule = make(due=NOON)
    assert look(NOON - MINUTE) == []
    assert look(NOON) == [True]
    assert look(NOON) == []
    run = Run.objects.get()
    assert (run.actor, run.command, run.invocations.get().instance) == (owner, "uptime", instance)
    assert run.choice == {"ids": str(instance.pk)}
    assert schedule.firings.get().run == run
    schedule.refresh_from_db()
    assert (schedule.next_at, schedule.last_due_at) == (NOON + MINUTE, NOON)
    assert "schedule.fire" in AuditEntry.objects.values_list("action", flat=True)


def test_it_is_looked_up_each_time_or_the_instances_are_frozen(make, owner):
    factories.InstanceFactory(name="db-1")
    values = {"command": ["uptime"], "command_type": ["shell"], "by_query": ["1"], "query": ["db"]}
    live, frozen = make(due=NOON, values=values), make(due=NOON, values=values, is_frozen=True)
    factories.InstanceFactory(name="db-2")
    look(NOON)
    assert [live.firings.get().run.target_count, frozen.firings.get().run.target_count] == [2, 1]


def test_the_options_of_the_form_are_those_of_the_run(make, instance):
    values = {
        "command": ["echo $WORD"],
        "command_type": ["shell"],
        "ids": [str(instance.pk)],
        "timeout_s": ["7"],
        "max_concurrency": ["3"],
        "environment": ["WORD=hello there"],
        "arguments": ["one\ntwo"],
        "interpreter": ["bash"],
    }
    make(due=NOON, values=values)
    look(NOON)
    run = Run.objects.get()
    assert (run.timeout_s, run.max_concurrency, run.environment) == (7, 3, [["WORD", "hello there"]])
    assert (run.arguments, run.interpreter) == (["one", "two"], "bash")


def test_two_os_families_get_a_run_each(make, instance):
    windows = factories.InstanceFactory(os="windows")
    values = {
        "command": ["uptime"],
        "command_type": ["shell"],
        "split": ["1"],
        "windows_command": ["Get-Date"],
        "windows_type": ["powershell"],
        "ids": [f"{instance.pk},{windows.pk}"],
    }
    schedule = make(due=NOON, values=values)
    look(NOON)
    assert sorted(Run.objects.values_list("command", flat=True)) == ["Get-Date", "uptime"]
    first = schedule.firings.get().run
    end(first)
    # The one for Windows has not ended.
    look(NOON + MINUTE)
    assert outcomes(schedule)[-1] == ("skipped_overlap", "12:01")


def test_a_saved_command_is_sent_in_its_latest_version_or_in_the_one_chosen(make):
    saved = factories.saved_command(name="disk", text="df")
    pinned = make(due=NOON, source=Source.VERSION, version=saved.latest)
    latest = make(due=NOON, source=Source.LATEST, version=saved.latest)
    second = factories.add_version(saved, text="df -h")
    look(NOON)
    assert pinned.firings.get().run.command == "df"
    run = latest.firings.get().run
    assert (run.command, run.saved_version) == ("df -h", second)


def test_an_interval_counts_from_its_anchor_however_late_a_look_comes(make):
    rule = Rule(Kind.EVERY, anchor=NOON, every=10, unit=Unit.MINUTES)
    schedule = make(due=NOON, rule=rule, overlap=Overlap.START)
    for late_s in (0, 7, 31):
        schedule.refresh_from_db()
        look(schedule.next_at + timedelta(seconds=late_s))
    assert outcomes(schedule) == [("fired", "12:00"), ("fired", "12:10"), ("fired", "12:20")]


def test_once_is_once(make):
    at = timezone.now() + timedelta(hours=1)
    schedule = make(rule=Rule(Kind.ONCE, anchor=at))
    assert look(at) == [True]
    assert look(at + timedelta(days=1)) == []
    schedule.refresh_from_db()
    assert schedule.next_at is None


def test_a_look_at_nothing_costs_two_queries(make):
    make(due=NOON)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        look(NOON - MINUTE)
    assert len(queries) == 2


# ------------------------------------------------------------------ missed, and clocks that jump


def test_what_was_missed_is_told_and_not_made_up_for(make):
    schedule = make(due=NOON)
    assert look(NOON + timedelta(hours=1, seconds=-30)) == [True]
    missed, fired = schedule.firings.order_by("due_at")
    assert (missed.outcome, missed.count, missed.due_at, missed.until_at) == (
        Outcome.MISSED,
        59,
        NOON,
        NOON + 58 * MINUTE,
    )
    assert "did not run" in missed.message
    # The last one was punctual: one run, no burst.
    assert (fired.outcome, fired.due_at) == (Outcome.FIRED, NOON + 59 * MINUTE)
    assert Run.objects.count() == 1


def test_a_clock_that_jumps_ahead_misses_what_lies_between_and_goes_on(make):
    schedule = make(due=NOON, rule=Rule(Kind.CRON, expression="0 * * * *"))
    look(NOON + timedelta(hours=3, minutes=30))
    assert outcomes(schedule) == [("missed", "12:00")]
    assert not Run.objects.exists()
    schedule.refresh_from_db()
    assert schedule.next_at == NOON + timedelta(hours=4)
    assert look(schedule.next_at) == [True]
    assert outcomes(schedule)[-1] == ("fired", "16:00")


def test_run_once_late_if_that_was_asked_for_and_only_within_its_minutes(make):
    rule = Rule(Kind.CRON, expression="0 * * * *")
    late = make(due=NOON, rule=rule, late_within_minutes=30)
    too_late = make(due=NOON, rule=rule, late_within_minutes=20)
    look(NOON + timedelta(hours=3, minutes=25))
    assert outcomes(late) == [("missed", "12:00"), ("fired", "15:00")]
    assert late.firings.first().message.startswith("Late: ")
    assert outcomes(too_late) == [("missed", "12:00")]


def test_a_clock_that_is_put_back_repeats_nothing(make):
    schedule = make(due=NOON)
    look(NOON)
    for minutes in range(-60, 1, 7):
        assert look(NOON + minutes * MINUTE) == []
    assert look(NOON + MINUTE) == [True]
    assert [due for _, due in outcomes(schedule)] == ["12:00", "12:01"]


def test_after_a_clock_was_put_back_resuming_or_changing_brings_no_due_time_again(make, owner):
    schedule = make()
    later = timezone.now() + timedelta(days=400)
    Schedule.objects.filter(pk=schedule.pk).update(last_due_at=later)
    services.pause(owner, schedule=schedule)
    services.resume(owner, schedule=schedule)
    schedule.refresh_from_db()
    assert schedule.next_at > later


def test_after_its_end_nothing_is_due(make):
    now = timezone.now()
    schedule = make(rule=Rule(Kind.CRON, expression="* * * * *", ends_at=now + 2 * MINUTE))
    schedule.refresh_from_db()
    while schedule.next_at:
        assert look(schedule.next_at) == [True]
        schedule.refresh_from_db()
    assert schedule.firings.count() <= 2
    assert look(now + timedelta(days=1)) == []


# ------------------------------------------------------------------ overlap


def test_while_the_run_before_has_not_ended_a_time_is_left_out(make):
    schedule = make(due=NOON)
    look(NOON)
    look(NOON + MINUTE)
    end(Run.objects.get())
    look(NOON + 2 * MINUTE)
    assert outcomes(schedule) == [("fired", "12:00"), ("skipped_overlap", "12:01"), ("fired", "12:02")]


def test_or_it_starts_anyway(make):
    schedule = make(due=NOON, overlap=Overlap.START)
    look(NOON)
    look(NOON + MINUTE)
    assert [outcome for outcome, _ in outcomes(schedule)] == ["fired", "fired"]


def test_or_one_waits_and_starts_when_the_run_before_has_ended(make):
    schedule = make(due=NOON, overlap=Overlap.QUEUE)
    look(NOON)
    look(NOON + MINUTE)
    look(NOON + 2 * MINUTE)
    assert outcomes(schedule) == [("fired", "12:00"), ("waiting", "12:01"), ("skipped_overlap", "12:02")]
    first = Run.objects.get()
    end(first, NOON + 2.5 * MINUTE)
    assert look(NOON + 2.6 * MINUTE) == [True]
    assert outcomes(schedule) == [("fired", "12:00"), ("fired", "12:01"), ("skipped_overlap", "12:02")]
    assert schedule.firings.get(due_at=NOON + MINUTE).run != first


@pytest.mark.django_db(transaction=True)
def test_what_waited_and_what_is_due_do_not_both_start_at_once(make, monkeypatch):
    schedule = make(due=NOON, overlap=Overlap.QUEUE)
    look(NOON)
    look(NOON + MINUTE)
    end(Run.objects.get(), NOON + 1.5 * MINUTE)
    (waiting,), last_runs = firing.waiting(), firing._last_runs
    starting = []

    def start():
        try:
            firing.start_waiting(waiting, NOON + 2 * MINUTE)
        finally:
            connection.close()

    def late(*args):
        found = last_runs(*args)
        if not starting:
            starting.append(threading.Thread(target=start))
            starting[0].start()
            # Until it is done, or waits for what is done here.
            starting[0].join(0.5)
        return found

    monkeypatch.setattr(firing, "_last_runs", late)
    firing.act(schedule.pk, NOON + 2 * MINUTE, NOON + 2 * MINUTE)
    starting[0].join()
    assert outcomes(schedule) == [("fired", "12:00"), ("fired", "12:01"), ("skipped_overlap", "12:02")]


def test_what_waited_is_not_started_hours_after_the_run_before_had_ended(make):
    schedule = make(due=NOON, overlap=Overlap.QUEUE, rule=Rule(Kind.CRON, expression="0 12 * * *"))
    look(NOON)
    look(NOON + timedelta(days=1))
    end(Run.objects.get(), NOON + timedelta(days=1, hours=1))
    look(NOON + timedelta(days=1, hours=5))
    assert outcomes(schedule) == [("fired", "12:00"), ("missed", "12:00")]


def test_what_waits_does_not_start_once_it_is_paused(make, owner):
    schedule = make(due=NOON, overlap=Overlap.QUEUE)
    look(NOON)
    look(NOON + MINUTE)
    services.pause(owner, schedule=schedule, why="maintenance")
    end(Run.objects.get(), NOON + MINUTE)
    assert look(NOON + 2 * MINUTE) == []
    assert outcomes(schedule)[-1] == ("skipped_overlap", "12:01")


# ------------------------------------------------------------------ refused


def refusal(schedule) -> str:
    row = schedule.firings.get()
    assert (row.outcome, row.run) == (Outcome.REFUSED, None)
    assert not Run.objects.exists()
    assert row.message.endswith("It did not run.")
    return row.message


def test_an_owner_without_the_right_starts_nothing(make, owner):
    schedule = make(due=NOON)
    Grant.objects.filter(user=owner).update(role=Role.VIEWER)
    look(NOON)
    assert "olga, who may not send commands any more" in refusal(schedule)


def test_a_deactivated_owner_starts_nothing(make, owner):
    schedule = make(due=NOON)
    members.deactivate(factories.UserFactory(), member=owner)
    look(NOON)
    assert "olga, who is deactivated" in refusal(schedule)


def test_an_owner_who_was_removed_starts_nothing(make, owner):
    schedule = make(due=NOON)
    owner.delete()
    look(NOON)
    assert "olga, who was removed" in refusal(schedule)


def test_a_choice_that_comes_to_nothing_is_told(make):
    factories.InstanceFactory(name="db-1")
    schedule = make(due=NOON, values={"command": ["id"], "command_type": ["shell"], "by_query": ["1"], "query": ["db"]})
    Instance.objects.filter(name="db-1").delete()
    look(NOON)
    assert "There is no instance to send to" in refusal(schedule)
    schedule.refresh_from_db()
    # It comes again: the next machine may match.
    assert schedule.next_at == NOON + MINUTE


def test_a_saved_command_that_is_gone_is_told(make, owner):
    saved = factories.saved_command(name="disk", text="df")
    schedule = make(due=NOON, source=Source.LATEST, version=saved.latest)
    saved_commands.delete(owner, saved=saved)
    look(NOON)
    assert "The saved command disk was deleted" in refusal(schedule)


def test_a_saved_command_that_is_not_shared_any_more_is_told(make):
    saved = factories.saved_command(name="disk", text="df", owner=factories.UserFactory())
    schedule = make(due=NOON, source=Source.LATEST, version=saved.latest)
    saved.is_shared = False
    saved.save()
    look(NOON)
    assert "no longer shared" in refusal(schedule)


def test_a_text_that_came_from_a_saved_command_that_is_gone_is_told(make, owner, instance):
    saved = factories.saved_command(name="disk", text="df")
    values = {"command": ["df -h"], "command_type": ["shell"], "ids": [str(instance.pk)]}
    schedule = make(due=NOON, values={**values, "saved_version": [str(saved.latest.pk)]})
    saved_commands.delete(owner, saved=saved)
    look(NOON)
    assert "The saved command it comes from was deleted" in refusal(schedule)


def test_a_schedule_whose_rule_cannot_be_read_any_more_is_paused_and_says_so(make):
    schedule = make(due=NOON)
    Schedule.objects.filter(pk=schedule.pk).update(zone="Mars/Olympus")
    assert look(NOON) == [True]
    schedule.refresh_from_db()
    assert schedule.next_at is None
    assert "Mars/Olympus" in schedule.pause_reason
    assert schedule.firings.get().outcome == Outcome.REFUSED


# ------------------------------------------------------------------ run now


def test_run_now_starts_one_run_for_a_double_click_and_moves_nothing(make, owner):
    schedule = make(due=NOON)
    first = firing.run_now(owner, schedule=schedule, key="pressed")
    assert firing.run_now(owner, schedule=schedule, key="pressed") == first
    assert (first.run, first.pressed_by) == (Run.objects.get(), "olga")
    schedule.refresh_from_db()
    assert schedule.next_at == NOON


def test_nobody_runs_a_schedule_of_somebody_else(make):
    schedule = make(due=NOON)
    with pytest.raises(NotAllowed):
        firing.run_now(factories.UserFactory(), schedule=schedule, key="pressed")
    assert not Run.objects.exists()


def test_old_firings_are_removed_and_their_runs_stay(make):
    schedule = make(due=NOON)
    look(NOON)
    Firing.objects.update(at=timezone.now() - timedelta(days=40))
    assert sum(services.prune(0)) == 0
    assert sum(services.prune(30)) == 1
    assert not schedule.firings.exists()
    assert runs.visible_runs(schedule.owner).count() == 1
