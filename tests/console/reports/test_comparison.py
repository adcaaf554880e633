import pytest
from django.urls import reverse

from console.reports import comparison
from console.reports.comparison import Outcome
from console.runs import retention
from console.runs.models import Run
from console.runs.status import Status
from instances.access.models import Role
from tests.support import factories
from tests.support.runs import ended_run, run_with, send

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client):
    client.force_login(factories.UserFactory())
    return client


def instances(*names, **fields):
    return [factories.InstanceFactory(name=name, **fields) for name in names]


def shown(client, run, **query):
    answer = client.get(reverse("run-compare", args=[run.pk]), query)
    assert answer.status_code == 200
    return answer.context


def outcomes(context):
    return {pair.name: pair.outcome for pair in context["page"]}


def said(client, run, **query):
    return " ".join(client.get(reverse("run-compare", args=[run.pk]), query).content.decode().split())


# ------------------------------------------------------------------ what changed


def test_each_instance_has_one_outcome(admin):
    same, printed, ended, gone, new = instances("same", "printed", "ended", "gone", "new")
    run_with(*[(b"1\n", b"", 0)] * 4, instances=[same, printed, ended, gone])
    now = run_with(
        (b"1\n", b"", 0), (b"2\n", b"", 0), (b"1\n", b"", 3), (b"1\n", b"", 0), instances=[same, printed, ended, new]
    )
    context = shown(admin, now, show="all")
    assert outcomes(context) == {
        "ended": Outcome.STATUS,
        "printed": Outcome.OUTPUT,
        "new": Outcome.ONLY_NOW,
        "gone": Outcome.ONLY_BEFORE,
        "same": Outcome.SAME,
    }
    assert list(outcomes(shown(admin, now))) == ["ended", "printed", "new", "gone"]
    assert {one.value: one.number for one in context["filters"]} == {
        "changed": 4, "all": 5, "status": 1, "output": 1, "only_now": 1, "only_before": 1, "same": 1,
    }  # fmt: skip
    for outcome, names in [("output", ["printed"]), ("same", ["same"]), ("not_ended", [])]:
        assert list(outcomes(shown(admin, now, show=outcome))) == names


def test_times_and_the_instances_own_name_can_be_ignored(admin):
    where = instances("web-01", "web-02", "web-03", "web-04")
    run_with(
        (b"at 2026-11-21 17:09:04\non web-01\n", b"", 0), (b"at 17:09:04\nold\n", b"", 0), (b"", b"", 0),
        (b"same\n", b"", 0), instances=where,
    )  # fmt: skip
    now = run_with(
        (b"at 2026-11-22 08:00:00\non web-01\n", b"", 0), (b"at 08:00:00\nnew\n", b"", 0), (b"08:00:00\n", b"", 0),
        (b"same\n", b"", 0), instances=where,
    )  # fmt: skip
    assert list(outcomes(shown(admin, now))) == ["web-01", "web-02", "web-03"]
    context = shown(admin, now, ignore="1", show="all")
    assert outcomes(context) == {
        "web-02": Outcome.OUTPUT, "web-03": Outcome.OUTPUT, "web-01": Outcome.SAME, "web-04": Outcome.SAME,
    }  # fmt: skip
    assert context["unread"] == 0
    (stream,) = shown(admin, now, ignore="1", i="1")["differences"]
    assert [(line.kind, line.text) for line in stream.difference.lines] == [
        ("same", "at 08:00:00"), ("removed", "old"), ("added", "new"),
    ]  # fmt: skip
    (stream,) = shown(admin, now, ignore="1", show="all", i="0")["differences"]
    assert stream.notes == ["No line differs in anything but what is ignored."]
    page = said(admin, now, ignore="1", show="same")
    assert 'name="ignore" value="1" data-submit-on-change checked' in page
    assert "show=all&amp;ignore=1" in page
    assert "show=same&amp;ignore=1&amp;page=1&amp;i=0#difference" in page


def test_what_is_gone_or_too_large_is_compared_as_it_is_and_that_is_said(admin, monkeypatch):
    monkeypatch.setattr("console.results.grouping.NORMALISED_BYTES", 8)
    where = instances("one")
    run_with((b"at 17:09:04\n", b"", 0), instances=where)
    now = run_with((b"at 18:09:04\n", b"", 0), instances=where)
    assert outcomes(shown(admin, now, ignore="1")) == {"one": Outcome.OUTPUT}
    assert "2 outputs are compared as they are: too large, or removed." in said(admin, now, ignore="1")


def test_in_which_order_the_streams_arrived_is_no_change(admin):
    where = instances("one")
    run_with((b"out", b"err", 0), instances=where)
    now = run_with((b"ou", b"err", 0), instances=where)
    first, second = Run.objects.order_by("pk")
    second.invocations.update(
        **first.invocations.values("size", "stdout_sha256", "stderr_sha256").get(), sha256="0" * 64
    )
    assert outcomes(shown(admin, now, show="all")) == {"one": Outcome.SAME}


def test_one_that_goes_on_has_not_changed_yet(admin):
    where = instances("one")
    run_with((b"1\n", b"", 0), instances=where)
    assert outcomes(shown(admin, send(instances=where), show="all")) == {"one": Outcome.NOT_ENDED}


def test_more_that_was_dropped_is_a_change(admin):
    where = instances("one")
    ended_run(instances=where)
    now = ended_run(instances=where)
    now.invocations.update(dropped_bytes=5)
    assert outcomes(shown(admin, now)) == {"one": Outcome.OUTPUT}


def test_an_instance_that_was_added_again_is_found_by_its_name_and_a_renamed_one_by_itself(admin):
    again, renamed = instances("again", "old name")
    run_with((b"1\n", b"", 0), (b"2\n", b"", 0), instances=[again, renamed])
    again.delete()
    renamed.name = "new name"
    renamed.save()
    now = run_with((b"1\n", b"", 0), (b"2\n", b"", 0), instances=[*instances("again"), renamed])
    assert outcomes(shown(admin, now, show="all")) == {"again": Outcome.SAME, "new name": Outcome.SAME}


# ------------------------------------------------------------------ with which run


def test_the_one_before_is_taken_unless_another_is_named(admin):
    where = instances("one")
    first, second, third = (ended_run(instances=where, command="uptime") for _ in range(3))
    ended_run(instances=where, command="df")
    assert shown(admin, third)["before"] == second
    context = shown(admin, third, **{"with": first.pk})
    assert context["before"] == first
    assert [one.pk for one in context["candidates"]] == [second.pk, first.pk]


def test_a_saved_command_is_the_same_in_any_version(admin):
    saved = factories.saved_command(name="Up?", text="uptime")
    first, other = saved.latest, factories.saved_command(name="other").latest
    runs = [ended_run(command=command) for command in ("uptime", "uptime -p", "true")]
    for run, version in zip(runs, (first, factories.add_version(saved, text="uptime -p"), other), strict=True):
        Run.objects.filter(pk=run.pk).update(saved_version=version)
    assert shown(admin, runs[1])["before"] == runs[0]
    assert "The text of the command is another one." in said(admin, runs[1])
    assert shown(admin, runs[2])["before"] is None


def test_without_an_earlier_run_the_page_says_so(admin):
    assert "There is no earlier run of this command." in said(admin, ended_run())


@pytest.mark.parametrize("which", ["other", "later", "self", "none", "word"])
def test_a_run_that_cannot_be_compared_is_not_found(admin, which):
    before, run = ended_run(command="uptime"), ended_run(command="uptime")
    later, other = ended_run(command="uptime"), ended_run(command="df")
    assert shown(admin, run)["before"] == before
    asked = {"other": other.pk, "later": later.pk, "self": run.pk, "none": 10**30, "word": "x"}[which]
    assert admin.get(reverse("run-compare", args=[run.pk]), {"with": asked}).status_code == 404


def test_a_run_beyond_the_picker_can_be_named(admin, monkeypatch):
    monkeypatch.setattr(comparison, "CANDIDATES", 2)
    runs = [ended_run(command="uptime") for _ in range(4)]
    context = shown(admin, runs[3], **{"with": runs[0].pk})
    assert context["before"] == runs[0]
    assert [one.pk for one in context["candidates"]] == [runs[2].pk, runs[1].pk, runs[0].pk]


def test_only_what_one_sees_is_compared(client):
    group = factories.GroupFactory()
    theirs, canary = instances("theirs", group=group) + instances("canary")
    ended_run(instances=[canary], command="uptime")
    for output in (b"1\n", b"2\n"):
        run = ended_run(2, instances=[theirs, canary], command="uptime", output=output)
    client.force_login(factories.UserFactory(role=Role.VIEWER, role_group=group))
    context = shown(client, run, show="all")
    assert outcomes(context) == {"theirs": Outcome.OUTPUT}
    assert [one.counts for one in context["candidates"]] == [{"succeeded": 1}]
    text = said(client, run, show="all", i=run.invocations.get(instance=canary).ordinal)
    assert "canary" not in text
    assert "opened" not in shown(client, run, i=1)


# ------------------------------------------------------------------ the difference


def test_the_difference_of_an_instance_is_shown_per_stream(admin):
    where = instances("web-1")
    run_with((b"a\nold\nb\n", b"same\n", 0), instances=where)
    now = run_with((b"a\nnew <b>\nb\n", b"same\n", 3), instances=where)
    text = said(admin, now, i=0)
    (stream,) = shown(admin, now, i=0)["differences"]
    assert [(line.sign, line.text) for line in stream.difference.lines] == [
        ("", "a"), ("-", "old"), ("+", "new <b>"), ("", "b"),
    ]  # fmt: skip
    assert "new &lt;b&gt;" in text
    assert "exit status 0" in text
    assert "exit status 3" in text


def test_a_line_end_that_is_missing_is_told(admin):
    where = instances("web-1")
    run_with((b"same\n", b"", 0), instances=where)
    now = run_with((b"same", b"", 0), instances=where)
    (stream,) = shown(admin, now, i=0)["differences"]
    assert stream.notes == ["No line differs: only the end of the last one does."]


def test_a_long_output_is_compared_at_its_beginning(admin, monkeypatch):
    monkeypatch.setattr(comparison, "COMPARED_BYTES", 1024)
    where = instances("web-1")
    run_with((b"x\n" * 100_000 + b"old", b"", 0), instances=where)
    now = run_with((b"x\n" * 100_000 + b"new", b"", 0), instances=where)
    (stream,) = shown(admin, now, i=0)["differences"]
    assert stream.notes == ["Only the first 1 KiB of each are compared."] or stream.notes[0].startswith(
        "Only the first"
    )
    assert stream.difference.lines[0].kind == "left_out"


def test_an_output_that_retention_removed_is_said_to_be_gone(admin):
    where = instances("web-1")
    run_with((b"old\n", b"", 0), instances=where)
    now = run_with((b"new\n", b"", 0), instances=where)
    list(retention.carry_out(retention.plan(retention.Limits(0, 5)), actor=None))
    text = said(admin, now, i=0)
    assert "Output differs" in text
    assert "retention has removed one of the two" in text


def test_an_instance_that_never_ran_has_no_difference(admin):
    where = instances("web-1")
    run_with((b"old\n", b"", 0), instances=where)
    now = send(instances=where)
    now.invocations.update(status=Status.UNREACHABLE, reason="dns", finished_at=now.created_at)
    assert outcomes(shown(admin, now)) == {"web-1": Outcome.STATUS}
    (stream,) = shown(admin, now, i=0)["differences"]
    assert [line.sign for line in stream.difference.lines] == ["-"]


def test_how_many_queries_it_takes_does_not_depend_on_the_number_of_instances(admin, django_assert_max_num_queries):
    where = factories.InstanceFactory.create_batch(60)
    ended_run(60, instances=where)
    now = ended_run(60, instances=where, output=b"other\n")
    with django_assert_max_num_queries(12):
        shown(admin, now)
    with django_assert_max_num_queries(18):
        context = shown(admin, now, i=59)
    assert len(context["page"]) == 50
    assert context["page"].paginator.count == 60
