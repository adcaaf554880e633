"""How the instances of a run are chosen, and what a run keeps of where it came from."""

import re

import pytest
from django.db import transaction
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from console.runs.choice import Choice, chosen
from console.runs.forms import SendForm
from console.runs.models import Run
from console.runs.number_sets import unfold
from console.runs.services import RunError
from console.runs.targets import targets_of
from instances.access.models import Role
from instances.inventory.models import Instance
from tests.support import factories
from tests.support.runs import send

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client):
    user = factories.UserFactory(role=Role.OPERATOR)
    client.force_login(user)
    return user


def test_a_choice_written_down_is_the_same_choice():
    choice = Choice(by_query=True, query="web", group="3", except_ids="4,5")
    assert Choice.of(choice.as_json()) == choice
    assert Choice(ids="1").as_json() == {"ids": "1"}


def test_it_comes_to_what_matches_when_it_is_asked(operator):
    factories.InstanceFactory(name="web-1")
    choice = Choice(by_query=True, query="web")
    assert [instance.name for instance in chosen(operator, choice)] == ["web-1"]
    factories.InstanceFactory(name="web-2")
    assert [instance.name for instance in chosen(operator, choice)] == ["web-1", "web-2"]


@pytest.mark.parametrize(
    "ids", ["9" * 19, "9" * 5000, "²,٣", "-1"], ids=["longer than an id", "endless", "other", "negative"]
)
def test_ids_that_no_row_has_are_passed_over(client, operator, ids):
    choice = Choice(ids=ids, by_query=False)
    assert chosen(operator, choice) == []
    for url in (reverse("send"), reverse("send-targets")):
        assert client.get(url, {"ids": ids}).status_code == 200
    found = Choice(by_query=True, query="web", group=ids, except_ids=ids)
    assert chosen(operator, found) == []
    sent = {"command": "id", "command_type": "shell", "sessions": "1", "saved_version": ids}
    for data in ({**sent, "sessions": ids}, sent, {**sent, "sessions": "", "ids": ids}):
        assert client.post(reverse("send"), data).status_code == 422


def test_a_run_keeps_the_choice_and_the_version_it_was_filled_from(client, operator):
    instance = factories.InstanceFactory()
    version = factories.saved_command(name="disk", text="df").latest
    page = client.get(reverse("send"), {"ids": instance.pk, "saved": version.saved_id}).context["form"]
    client.post(
        reverse("send"),
        {"ids": instance.pk, "command": "df", "command_type": "shell", "saved_version": page["saved_version"].value()},
    )
    run = Run.objects.get()
    assert (run.saved_version, run.choice) == (version, {"ids": str(instance.pk)})


def test_somebody_elses_private_command_is_neither_offered_nor_taken(client, operator):
    private = factories.saved_command(name="private", owner=factories.UserFactory(), is_shared=False)
    assert client.get(reverse("send"), {"saved": private.pk}).status_code == 404
    given = {"ids": factories.InstanceFactory().pk, "command": "id", "command_type": "shell"}
    client.post(reverse("send"), given | {"saved_version": private.latest_id})
    assert not Run.objects.exists()


# ------------------------------------------------------------------ names, ranges, addresses


def fleet(*names, **fields):
    return [factories.InstanceFactory(name=name, **fields) for name in names]


def names_of(user, **choice):
    return [instance.name for instance in chosen(user, Choice(**choice))]


def test_names_and_ranges_and_addresses_come_in_the_order_they_were_written(operator):
    fleet("web01", "web02", "web03", "db")
    factories.InstanceFactory(name="mail", address="192.0.2.7", port=2222)
    assert names_of(operator, names="db WEB[01-03] !web02 192.0.2.7:2222 db") == ["db", "web01", "web03", "mail"]
    assert names_of(operator, names="192.0.2.7") == ["mail"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("web01 web07", "Not in the list: web07."),
        ("web01 hidden", "Not in the list: hidden."),
        ("web01 !web9", "Not in the list: !web9."),
        ("web01 10.9.9.9", "10.9.9.9 means 2 instances (nat-a, nat-b)"),
        ("web[1", "cannot be read"),
        ("web[1-20000]", "more than 10,000"),
        ("!web01", "Enter the names"),
        ("   ", "Enter the names"),
    ],
)
def test_names_that_are_not_one_instance_are_told_and_nothing_is_chosen(text, says):
    group = factories.GroupFactory()
    user = factories.UserFactory(role=Role.OPERATOR, role_group=group)
    fleet("web01", group=group)
    fleet("nat-a", "nat-b", group=group, address="10.9.9.9")
    fleet("hidden")
    with pytest.raises(RunError, match=re.escape(says)) as refused:
        chosen(user, Choice(names=text))
    assert refused.value.field == "names"


def test_a_name_wins_over_an_address_and_exact_over_another_case(operator):
    fleet("gate", "other", address="gate")
    fleet("Twin", "twin")
    assert names_of(operator, names="gate twin") == ["gate", "twin"]


def test_only_the_names_that_were_agreed_on_are_left_out(operator):
    fleet("web1")
    assert names_of(operator, names="web1 gone", left_out="gone") == ["web1"]
    with pytest.raises(RunError, match=r"list: new\."):
        chosen(operator, Choice(names="web1 gone new", left_out="gone"))


# ------------------------------------------------------------------ never all by accident


@pytest.mark.parametrize("query", ["", "  ", '""', "-", "x" * 1001, " ".join("abcdefgh" * 6), "os:beos"])
def test_a_filter_that_would_mean_everything_or_is_not_understood_chooses_nothing(operator, query):
    fleet("web1")
    with pytest.raises(RunError) as refused:
        chosen(operator, Choice(by_query=True, query=query))
    assert refused.value.field == "query"


def test_all_of_a_group_or_everything_is_chosen_when_it_is_asked_for(operator):
    group = factories.GroupFactory(name="Paris")
    fleet("web1", group=group)
    fleet("web2")
    assert names_of(operator, by_query=True, group=str(group.pk)) == ["web1"]
    assert names_of(operator, by_query=True, everything=True) == ["web1", "web2"]


# ------------------------------------------------------------------ in words


def test_it_says_in_words_what_was_chosen():
    group = factories.GroupFactory(name="Paris")
    said = {
        Choice(by_query=True, query="env:prod", group=str(group.pk)): "everything that matches env:prod in group Paris",
        Choice(by_query=True, everything=True, except_ids="4,5"): "everything except 2 chosen",
        Choice(names="web01,web02 web03 !web02"): "web[01-03] without web02",
        Choice(names="web1 gone", left_out="gone"): "gone,web1, without gone, not in the list",
        Choice(run="12", which="failed"): "those that failed in run 12",
        Choice(
            run="12", which="rows", ordinals="0-4", left_out="db"
        ): "chosen rows of run 12, without db, deleted since",
        Choice(ids="1,2"): "2 chosen instances",
    }
    for choice, words in said.items():
        assert choice.sentence() == words
        assert Choice.of(choice.as_json()) == choice


# ------------------------------------------------------------------ of a former run


@pytest.fixture
def mixed_run(operator):
    """A run with each end status once, in this order."""
    statuses = ["succeeded", "failed", "timed_out", "unreachable", "cancelled", "skipped", "lost", "stopped"]
    run = send(instances=fleet(*statuses), actor=operator)
    for row in run.invocations.all():
        run.invocations.filter(pk=row.pk).update(status=row.instance_name)
    return run


@pytest.mark.parametrize(
    ("which", "names"),
    [
        ("all", ["succeeded", "failed", "timed_out", "unreachable", "cancelled", "skipped", "lost", "stopped"]),
        ("failed", ["failed", "timed_out"]),
        ("did_not_run", ["unreachable", "cancelled", "skipped"]),
        ("unreachable", ["unreachable"]),
        ("lost", ["lost"]),
        ("stopped", ["stopped"]),
        ("succeeded", ["succeeded"]),
        ("rows", ["succeeded", "cancelled", "skipped"]),
    ],
)
def test_instances_of_a_former_run_are_exactly_those(operator, mixed_run, which, names):
    assert names_of(operator, run=str(mixed_run.pk), which=which, ordinals="0,4-5") == names


@pytest.mark.parametrize(("run", "which"), [("99999", "all"), ("x", "all"), ("", "all"), (None, "most")])
def test_a_run_that_is_not_there_chooses_nothing(operator, mixed_run, run, which):
    with pytest.raises(RunError):
        chosen(operator, Choice(run=str(mixed_run.pk) if run is None else run or " ", which=which))


def test_of_somebody_elses_run_nothing_is_chosen(mixed_run):
    stranger = factories.UserFactory(role=Role.OPERATOR, role_group=factories.GroupFactory())
    with pytest.raises(RunError, match="There is no run"):
        chosen(stranger, Choice(run=str(mixed_run.pk), which="all"))


def test_deleted_instances_of_a_run_are_named_as_left_out_and_kept_on_the_next(client, operator, mixed_run):
    Instance.objects.get(name="failed").delete()
    page = client.get(reverse("send"), {"again": mixed_run.pk, "which": "failed"})
    assert page.context["targets"].names == ("timed_out",)
    assert "Left out, deleted since: failed." in page.content.decode()
    client.post(reverse("send"), sent_from(page, command="true"))
    assert Run.objects.first().choice == {"run": str(mixed_run.pk), "which": "failed", "left_out": "failed"}


def test_ticked_rows_of_a_run_of_5_000_are_posted_and_are_exactly_those(client, operator):
    factories.InstanceFactory.create_batch(3)
    instances = Instance.objects.bulk_create(
        Instance(name=f"n-{number}", address=f"10.{number // 250}.0.{number % 250}") for number in range(5000)
    )
    run = send(instances=instances, actor=operator)
    page = client.post(reverse("send-again", args=[run.pk]), {"ordinals": ",".join(map(str, range(0, 5000, 2)))})
    assert page.context["targets"].count == 2500
    answer = client.post(reverse("send"), sent_from(page, command="true", confirmed_count=2500))
    assert answer.status_code == 302
    again = Run.objects.first()
    assert list(again.invocations.values_list("instance_id", flat=True)) == [one.pk for one in instances[::2]]
    assert client.post(reverse("send-again", args=[run.pk]), {"row": ["1", "x", "3"]}).context["targets"].count == 2
    nothing = client.post(reverse("send-again", args=[run.pk]))
    assert "The run has no such instance." in nothing.content.decode()


def sent_from(page, **fields):
    """Return what a browser posts of a page's form, changed."""
    form = page.context["form"]
    names = ("choose", "ids", "by_query", "query", "everything", "filter_text", "in_group", "names", "former_run")
    data = {name: form[name].value() or "" for name in (*names, "which", "ordinals", "request_key")}
    targets = page.context["targets"]
    left_out = targets.left_out_text if targets.may_undo else ""
    return {**data, "command_type": "shell", "shown": targets.shown, "left_out": left_out, **fields}


# ------------------------------------------------------------------ what was shown is what runs


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"choose": "filter", "filter_text": ""}, "The filter is empty"),
        ({"choose": "filter", "filter_text": "name:nobody"}, "Nothing matches this filter"),
        ({"choose": "group"}, "Choose a group"),
        ({"choose": "group", "in_group": "999"}, "There is no instance in this group"),
        ({"choose": "names"}, "Enter names"),
        ({"choose": "names", "names": "web1 !web1"}, "Every name is left out"),
        ({"choose": "names", "names": "web1 web9"}, "Leave out the 1 name that is not one instance"),
        ({"choose": "run", "former_run": "77"}, "There is no run 77"),
        ({"choose": "address"}, "Enter an address"),
        ({"choose": "selection"}, "Select at least one"),
        ({"by_query": "1", "query": ""}, "The filter is empty"),
    ],
)
def test_an_empty_or_unresolvable_choice_is_refused_and_nothing_is_lost(client, operator, fields, says):
    fleet("web1")
    answer = client.post(reverse("send"), {"command_type": "shell", "command": "echo kept", **fields})
    assert answer.status_code == 422
    assert says in answer.content.decode()
    assert "echo kept" in answer.content.decode()
    assert not Run.objects.exists()


def test_what_was_never_shown_is_shown_first_and_then_sent(client, operator):
    fleet("web1", "web2", "db1")
    fields = {"choose": "filter", "filter_text": "web", "command_type": "shell", "command": "true"}
    first = client.post(reverse("send"), fields)
    assert first.status_code == 422
    assert first.context["targets"].names == ("web1", "web2")
    assert client.post(reverse("send"), fields | {"shown": first.context["targets"].shown}).status_code == 302
    run = Run.objects.get()
    assert (run.choice, run.target_count) == ({"by_query": True, "query": "web"}, 2)
    assert "everything that matches web" in client.get(reverse("run", args=[run.pk])).content.decode()


def test_without_scripts_a_button_shows_the_list_page_by_page(client, operator):
    fleet(*(f"web{number:03}" for number in range(120)))
    fields = {"look": "1", "choose": "names", "names": "web[000-119]", "command": "echo kept", "list_page": "3"}
    page = client.post(reverse("send"), fields)
    assert page.status_code == 200
    assert page.context["targets"].names == tuple(f"web{number:03}" for number in range(100, 120))
    text = page.content.decode()
    assert "web[000-119]" in text
    assert "echo kept" in text
    found = client.post(reverse("send-targets"), {**fields, "list_find": "07", "list_page": ""})
    assert found.context["targets"].names == ("web007", *(f"web{number:03}" for number in range(70, 80)), "web107")


def test_the_names_that_are_left_out_are_agreed_on_and_kept(client, operator):
    fleet("web1", "web2")
    fields = {"choose": "names", "names": "web[1-3]", "command_type": "shell", "command": "true"}
    refused = client.post(reverse("send"), fields).context["targets"].refused
    shown = client.post(reverse("send-targets"), fields | {"left_out": refused.left_out}).context["targets"]
    client.post(reverse("send"), fields | {"left_out": shown.left_out_text, "shown": shown.shown})
    run = Run.objects.get()
    assert run.choice == {"names": "web[1-3]", "left_out": "web3"}
    assert list(run.invocations.values_list("instance_name", flat=True)) == ["web1", "web2"]


def test_what_changed_since_it_was_shown_is_named(client, operator):
    fleet("web1", "web2", "web3")
    fields = {"choose": "filter", "filter_text": "web", "command_type": "shell", "command": "true"}
    shown = client.post(reverse("send-targets"), fields).context["targets"].shown
    Instance.objects.filter(name="web1").update(name="db1")
    Instance.objects.get(name="web2").delete()
    fleet("web4", "web5")
    text = client.post(reverse("send"), fields | {"shown": shown}).content.decode()
    assert "Added: web4, web5." in text
    assert "No longer among them: db1, 1 deleted since." in text
    assert not Run.objects.exists()


EDITS = st.lists(
    st.tuples(st.sampled_from(["add", "delete", "rename", "tag", "disable"]), st.integers(0, 5)), max_size=5
)


@settings(max_examples=40)
@given(query=st.sampled_from(["web", "env:prod", "-web", "web -env:prod", "state:disabled", "name:1"]), edits=EDITS)
def test_what_runs_is_what_was_shown_whatever_happens_to_the_inventory(operator, query, edits):
    with transaction.atomic():
        instances = [factories.InstanceFactory(tags={"env": "prod"} if n % 2 else {}) for n in range(6)]
        for number, instance in enumerate(instances):
            Instance.objects.filter(pk=instance.pk).update(name=f"{'web' if number % 3 else 'db'}-{number}")
        data = {"choose": "filter", "filter_text": query, "command_type": "shell", "command": "true"}
        shown = targets_of(operator, data, "shell").shown
        for number, (what, which) in enumerate(edits):
            edit(what, instances[which], number)
        form = SendForm(data | {"shown": shown}, user=operator)
        if form.is_valid():
            assert {instance.pk for instance in form.instances()} == unfold(shown, most=100)
        else:
            assert (
                unfold(shown, most=100)
                != {instance.pk for instance in chosen(operator, Choice(by_query=True, query=query))}
                or not shown
            )
        transaction.set_rollback(True)


def edit(what, instance, number):
    rows = Instance.objects.filter(pk=instance.pk)
    if what == "add":
        factories.InstanceFactory(name=f"web-new-{number}", tags={"env": "prod"})
    elif what == "delete":
        rows.delete()
    elif what == "rename":
        rows.update(name=f"{'db' if number % 2 else 'web'}-renamed-{number}")
    elif what == "tag" and rows.exists():
        instance.tags.update_or_create(key="env", defaults={"value": "test" if number % 2 else "prod"})
    else:
        rows.update(is_disabled=True)
