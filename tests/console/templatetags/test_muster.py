from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from console.runs.status import RunStatus, Status
from console.templatetags.muster import (
    LOOKS,
    ago,
    clock,
    counted,
    icon,
    minus,
    readable,
    row_query,
    running_for,
    status_badge,
    took,
)
from instances.inventory.models import Reach


@pytest.mark.parametrize("status", [*Status, *RunStatus, *Reach, "disabled"])
def test_every_status_has_a_word_an_icon_and_a_class(status: str) -> None:
    badge = status_badge(str(status))
    assert f'class="st st-{status}"' in badge
    assert LOOKS[status].label in badge
    assert "<svg" in badge


def test_an_unknown_status_is_shown_as_text_only() -> None:
    assert "&lt;b&gt;" in status_badge("<b>")


def test_an_icon_is_hidden_from_screen_readers() -> None:
    assert 'aria-hidden="true"' in icon("play")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        ("", ""),
        (0.344, "0.34 s"),
        (12.54, "12.5 s"),
        (184, "3 min 04 s"),
        (7800, "2 h 10 min"),
        (200_000, "2 d 7 h"),
        (0, "0 s"),
        (7, "7 s"),
        (59, "59 s"),
        (60, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (86399, "23 h 59 min"),
        (97200, "1 d 3 h"),
    ],
)
def test_durations_in_the_units_that_matter(seconds: float | None, words: str) -> None:
    assert took(seconds) == words


# The same as in tests/js/durations.test.mjs.
@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0:00"), (7.9, "0:07"), (60, "1:00"), (3599, "59:59"), (3723.5, "1:02:03")]
)
def test_times_in_a_recording_look_as_on_a_clock(seconds: float, words: str) -> None:
    assert clock(seconds) == words


def test_what_runs_has_whole_seconds_that_the_page_counts_on() -> None:
    assert running_for(12.345) == '<span data-running-s="12.3">12 s</span>'
    assert running_for(None) == ""


@pytest.mark.parametrize(
    ("seconds", "words"), [(3, "just now"), (50, "1 min ago"), (7300, "2 h ago"), (3 * 86400, "3 d ago")]
)
def test_times_as_distances_with_the_exact_time(seconds: int, words: str) -> None:
    moment = timezone.now() - timedelta(seconds=seconds)
    assert f">{words}<" in ago(moment)
    assert f'datetime="{moment.isoformat(timespec="seconds")}"' in ago(moment)


def test_a_time_long_ago_is_a_date() -> None:
    assert ">2020-03-01<" in ago(datetime(2020, 3, 1, tzinfo=UTC))
    assert ago(None) == ""


def test_output_is_readable_without_scripts() -> None:
    assert readable("a\x1b[1;31mb\x1b[0m\r\n10%\r50%\r100%\n\x1b]0;title\x07<b>\r") == "ab\n100%\n<b>"


def test_counts_in_words() -> None:
    assert counted({"failed": 1, "succeeded": 3, "running": 0}) == "3 succeeded · 1 failed"
    assert minus(5, 2) == 3


def test_a_rows_address_leaves_out_what_is_usual() -> None:
    row = SimpleNamespace(ordinal=7)
    assert row_query(SimpleNamespace(status_filter="all", page=1), row) == "?i=7"
    assert row_query(SimpleNamespace(status_filter="failed", page=2), row) == "?i=7&status=failed&page=2"
