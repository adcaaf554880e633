import io
import json

import pytest
from django.utils import timezone

from console.runs import queue
from console.runs.models import Output, OutputKind
from console.runs.terminal_view import LINE_BYTES, TerminalView
from tests.support import factories
from tests.support.runs import send

pytestmark = pytest.mark.django_db

OUT, ERR, GAP = OutputKind.STDOUT, OutputKind.STDERR, OutputKind.GAP


class ClosedPipe(io.BytesIO):
    def write(self, data):
        raise BrokenPipeError


@pytest.fixture
def run():
    return send(instances=[factories.InstanceFactory(name="web")])


@pytest.fixture
def pair():
    return send(instances=[factories.InstanceFactory(name=name) for name in ("web", "db")])


def view_of(run, **options):
    return TerminalView(run, stdout=io.BytesIO(), stderr=io.BytesIO(), **options)


def said(view):
    return view._files[OUT].getvalue(), view._files[ERR].getvalue()


def append(run, ordinal, kind, data, length=None):
    invocation = run.invocations.get(ordinal=ordinal)
    Output.objects.create(
        invocation=invocation, offset=invocation.size, kind=kind, stream_offset=0, data=data, at=timezone.now()
    )
    invocation.size += len(data) if length is None else length
    invocation.revision = queue.next_revision(run)
    invocation.save()


def end(run, ordinal=0, status="succeeded", **values):
    values.setdefault("exit_status", 0 if status == "succeeded" else None)
    run.invocations.filter(ordinal=ordinal).update(
        status=status, finished_at=timezone.now(), revision=queue.next_revision(run), **values
    )
    queue.refresh_counts(run)


def test_one_instance_is_shown_byte_by_byte_on_the_same_streams(run):
    view = view_of(run)
    append(run, 0, OUT, b"a\xff\r50%")
    append(run, 0, ERR, b"oops")
    assert view.draw() is False
    append(run, 0, OUT, b"\r100%")
    end(run)
    assert view.draw() is True
    assert said(view) == (b"a\xff\r50%\r100%", b"oops")
    assert view.exit_status() == 0


def test_several_instances_are_shown_in_whole_lines_with_their_names(pair):
    view = view_of(pair)
    append(pair, 0, OUT, b"one\ntw")
    append(pair, 1, OUT, b"three\n")
    view.draw()
    assert said(view)[0] == b"web: one\ndb: three\n"
    append(pair, 0, OUT, b"o\nrest")
    end(pair, 0)
    end(pair, 1, "failed", exit_status=3, reason="exit_status")
    assert view.draw() is True
    out, err = said(view)
    assert out == b"web: one\ndb: three\nweb: two\nweb: rest\n"
    assert err == f"db: failed: exit status 3\nRun {pair.pk}: 1 failed · 1 succeeded\n".encode()
    assert view.exit_status() == 1


def test_a_line_without_an_end_is_not_kept_for_ever(pair):
    view = view_of(pair)
    append(pair, 0, OUT, b"x" * LINE_BYTES)
    view.draw()
    assert said(view)[0] == b"web: " + b"x" * LINE_BYTES + b"\n"


def test_a_gap_is_said(run):
    view = view_of(run)
    append(run, 0, OUT, b"a")
    append(run, 0, GAP, b"1000", length=1000)
    append(run, 0, OUT, b"z")
    view.draw()
    assert said(view) == (b"az", b"web: 1000 bytes were not kept\n")


def test_json_is_one_object_per_line(run):
    view = view_of(run, as_json=True)
    append(run, 0, OUT, "grün\n".encode())
    append(run, 0, ERR, b"\xff")
    end(run)
    view.draw()
    first, second, last = [json.loads(line) for line in said(view)[0].splitlines()]
    assert first == {"type": "output", "instance": "web", "stream": "stdout", "text": "grün\n"}
    assert second == {"type": "output", "instance": "web", "stream": "stderr", "base64": "/w=="}
    assert (last["type"], last["status"], last["exit_status"]) == ("end", "succeeded", 0)


@pytest.mark.parametrize(
    ("status", "values", "wanted"),
    [
        ("failed", {"exit_status": 7}, 7),
        ("failed", {"exit_status": -1}, 255),
        ("failed", {"exit_status": 256}, 1),
        ("failed", {"exit_status": -1073741510}, 58),
        ("failed", {"exit_signal": "KILL"}, 137),
        ("failed", {"reason": "cwd_missing"}, 255),
        ("timed_out", {}, 124),
        ("stopped", {}, 130),
        ("cancelled", {}, 130),
        ("unreachable", {"reason": "refused"}, 255),
        ("skipped", {"reason": "instance_disabled"}, 255),
        ("lost", {"reason": "connection_lost"}, 255),
    ],
)
def test_the_exit_status_of_one_instance(run, status, values, wanted):
    end(run, 0, status, **values)
    assert view_of(run).exit_status() == wanted


def test_one_that_never_ran_says_why(run):
    view = view_of(run)
    end(run, 0, "unreachable", reason="refused", message="Nobody listens there. The command did not run.")
    view.draw()
    assert said(view) == (b"", b"web: unreachable: Nobody listens there. The command did not run.\n")


def test_a_closed_pipe_is_noted_and_written_to_no_more(run):
    view = TerminalView(run, stdout=ClosedPipe(), stderr=io.BytesIO())
    append(run, 0, OUT, b"a")
    view.draw()
    assert view.is_broken
