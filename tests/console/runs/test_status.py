import pytest

from console.runs.status import ACTIVE, END, NEVER_RAN, RunStatus, Status, may_follow, roll_up, sources_of


@pytest.mark.parametrize(
    ("counts", "stop_asked", "expected"),
    [
        ({"queued": 3}, False, RunStatus.QUEUED),
        ({"queued": 2, "succeeded": 1}, False, RunStatus.RUNNING),
        ({"connecting": 1}, False, RunStatus.RUNNING),
        ({"running": 1, "succeeded": 9}, True, RunStatus.STOPPING),
        ({"succeeded": 3}, False, RunStatus.SUCCEEDED),
        ({"succeeded": 3}, True, RunStatus.SUCCEEDED),
        ({"succeeded": 2, "failed": 1}, False, RunStatus.PARTIAL),
        ({"succeeded": 2, "skipped": 1}, False, RunStatus.PARTIAL),
        ({"failed": 1, "unreachable": 1}, False, RunStatus.FAILED),
        ({"skipped": 4}, False, RunStatus.FAILED),
        ({"stopped": 1, "cancelled": 2}, True, RunStatus.STOPPED),
        ({"stopped": 1, "succeeded": 2}, True, RunStatus.STOPPED),
        ({"stopped": 1, "lost": 1, "succeeded": 1}, True, RunStatus.PARTIAL),
        ({"stopped": 1, "lost": 1}, True, RunStatus.FAILED),
        ({"stopped": 1, "succeeded": 1}, False, RunStatus.PARTIAL),
    ],
)
def test_a_run_comes_to_what_its_invocations_came_to(counts, stop_asked, expected):
    assert roll_up(counts, stop_asked=stop_asked) is expected


def test_zero_counts_do_not_count():
    assert roll_up({"succeeded": 1, "failed": 0}, stop_asked=False) is RunStatus.SUCCEEDED


@pytest.mark.parametrize("end", sorted(END - {Status.LOST}))
def test_an_end_status_is_written_once(end):
    assert not any(may_follow(end, status) for status in Status)


def test_only_a_lost_one_may_be_resolved_later():
    assert {status for status in Status if may_follow(Status.LOST, status)} == END - {Status.LOST}


def test_stopped_is_reached_only_through_stopping():
    assert sources_of(Status.STOPPED) == {Status.STOPPING, Status.LOST}
    assert sources_of(Status.TIMED_OUT) == {Status.STOPPING, Status.LOST}


def test_what_never_ran_cannot_follow_running():
    assert not any(may_follow(Status.RUNNING, status) for status in NEVER_RAN)


def test_every_active_status_can_end_as_lost():
    assert sources_of(Status.LOST) == ACTIVE
