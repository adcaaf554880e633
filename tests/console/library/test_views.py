"""The pages of saved commands: what they show, what they keep of what was typed, who is told what."""

import re
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from console.runs.models import Run
from console.saved_commands import services
from console.saved_commands.models import SavedCommand, SavedCommandVersion
from instances.access.models import Role
from tests.support import factories
from tests.support.runs import send

pytestmark = pytest.mark.django_db
NO_ROWS = {"parameters-TOTAL_FORMS": "0", "parameters-INITIAL_FORMS": "0"}


@pytest.fixture
def operator(client):
    user = factories.UserFactory(username="olga", role=Role.OPERATOR)
    client.force_login(user)
    return user


def text_of(answer):
    return unescape(answer.content.decode())


def page(client, name, *args, **query):
    return text_of(client.get(reverse(name, args=args), query))


def fields_of(form):
    """The values of every field as the form is drawn, with the rows for parameters."""
    parts = [form, form.rows.management_form, *form.rows]
    return {part.add_prefix(name): part[name].value() for part in parts for name in part.fields}


def form_of(client, saved):
    """What a browser sends of the edit form as it is drawn: with CR LF, which it makes of every line end."""
    given = fields_of(client.get(reverse("edit-saved-command", args=[saved.pk])).context["form"])
    return {
        name: re.sub("\r\n|\r|\n", "\r\n", value) if isinstance(value, str) else value
        for name, value in given.items()
        if value not in (None, "")
    }


def edit(client, saved, given):
    return client.post(reverse("edit-saved-command", args=[saved.pk]), given)


def used(saved, count=1, **fields):
    runs = [send(**fields) for _ in range(count)]
    Run.objects.filter(pk__in=[run.pk for run in runs]).update(saved_version=saved.latest)
    return runs


# ------------------------------------------------------------------ the list


def test_the_list_is_in_the_order_of_a_dictionary(client, operator):
    for name in ("beta", "Alpha", "Gamma", "alpha 2"):
        factories.saved_command(name=name)
    page = client.get(reverse("saved-commands")).context["library"].page
    assert [saved.name for saved in page] == ["Alpha", "alpha 2", "beta", "Gamma"]


def test_the_list_finds_by_name_description_text_and_tag_and_by_type(client, operator):
    factories.saved_command(name="disk", text="df -h", description="Free space", tags=["storage"])
    factories.saved_command(name="version", text="ver", command_type="bat")
    factories.saved_command(name="notes", text="secret words", owner=factories.UserFactory(), is_shared=False)

    def found(**query):
        return [one.name for one in client.get(reverse("saved-commands"), query).context["library"].page]

    assert found() == ["disk", "version"]
    for words in ("DISK", "free", "df -", "stor"):
        assert found(q=words) == ["disk"], words
    assert found(q="secret words") == []
    assert found(tag="storage") == ["disk"]
    assert (found(type="shell"), found(type="bat"), found(type="both")) == (["disk"], ["version"], [])
    assert (found(whose="private"), found(whose="mine")) == ([], [])
    assert found(archived="1") == []


def test_the_list_says_how_often_and_when_it_was_used_by_what_one_may_see(client, operator):
    group = factories.GroupFactory()
    saved = factories.saved_command(name="disk")
    used(saved, 2)
    used(saved, instances=[factories.InstanceFactory(group=group)])
    (row,) = client.get(reverse("saved-commands")).context["library"].page
    assert (row.run_count, row.last_used_at) == (3, Run.objects.latest("created_at").created_at)
    client.force_login(factories.UserFactory(role=Role.VIEWER, role_group=group))
    (row,) = client.get(reverse("saved-commands")).context["library"].page
    assert row.run_count == 1


def test_a_thousand_cost_as_many_queries_as_two(client, operator):
    def queries():
        with CaptureQueriesContext(
            connection,
        ) as asked:
            client.get(reverse("saved-commands"), {"q": "command"})
        return len(asked)

    for number in range(2):
        used(factories.saved_command(name=f"command {number}", tags=["some"]))
    few = queries()
    made = SavedCommand.objects.bulk_create(SavedCommand(name=f"command {n}", tags=["some"]) for n in range(2, 1000))
    versions = SavedCommandVersion.objects.bulk_create(
        SavedCommandVersion(saved=s, number=1, text="true") for s in made
    )
    for saved, version in zip(made, versions, strict=True):
        saved.latest = version
    SavedCommand.objects.bulk_update(made, ["latest"])
    assert queries() == few <= 20


def test_an_empty_library_offers_the_starter_one(client, operator):
    assert "Add the starter library" in page(client, "saved-commands")
    client.post(reverse("add-starter-commands"))
    SavedCommand.objects.filter(name="Disk usage").delete()
    assert "1 command was added." in text_of(client.post(reverse("add-starter-commands"), follow=True))
    assert SavedCommand.objects.count() >= 12
    assert "Add the starter library" not in page(client, "saved-commands")
    assert "Disk usage" in page(client, "saved-commands")


# ------------------------------------------------------------------ one


def test_a_page_shows_both_texts_the_options_and_the_runs_one_may_see(client, operator):
    saved = factories.saved_command(name="disk", text="df", description="Free space", tags=["storage"])
    factories.add_version(
        saved, text="df -h", windows_type="bat", windows_text="vol", options={"timeout_s": 7},
        parameters=[{"name": "path", "type": "text"}],
    )  # fmt: skip
    seen, hidden = used(saved)[0], used(saved, instances=[factories.InstanceFactory(group=factories.GroupFactory())])[0]
    text = page(client, "saved-command", saved.pk)
    assert text.count('aria-current="page"') == 1
    assert 'aria-labelledby="outcomes-heading"' in text
    assert f'{reverse("saved-history", args=[saved.pk])}">How long its runs are kept' in text
    for said in ("Free space", "storage", "df -h", "vol", "Bat", "Time limit (s)", ">7<", "path", f"Run {seen.pk}"):
        assert said in text
    client.force_login(factories.UserFactory(role=Role.VIEWER, role_group=seen.invocations.get().instance.group))
    older = page(client, "saved-command", saved.pk, version=1)
    assert "This is an older version" in older
    grantee = factories.UserFactory(role=Role.VIEWER, role_group=hidden.invocations.get().instance.group)
    client.force_login(grantee)
    text = page(client, "saved-command", saved.pk)
    assert f"Run {hidden.pk}" in text
    assert f"Run {seen.pk}<" not in text


def test_a_private_one_is_not_there_for_anybody_else(client, operator):
    saved = factories.saved_command(name="notes", owner=factories.UserFactory(), is_shared=False)
    client.force_login(factories.UserFactory())
    for name in ("saved-command", "edit-saved-command", "saved-command-diff"):
        assert client.get(reverse(name, args=[saved.pk])).status_code == 404
    assert client.get(reverse("new-saved-command"), {"copy": saved.latest_id}).status_code == 404
    run = used(saved)[0]
    text = page(client, "run", run.pk)
    assert "a private saved command" in text
    assert "notes" not in text


def test_a_diff_shows_lines_line_ends_and_options_with_signs(client, operator):
    saved = factories.saved_command(name="disk", text="one\ntwo\n")
    factories.add_version(saved, text="one\r\n2\ntwo", options={"timeout_s": 7})
    answer = client.get(reverse("saved-command-diff", args=[saved.pk]))
    (part,) = answer.context["parts"]
    assert [(line.sign, line.text, line.end) for line in part.lines] == [
        ("-", "one", ""),
        ("-", "two", ""),
        ("+", "one", "CR LF"),
        ("+", "2", ""),
        ("+", "two", "no line end"),
    ]
    assert [(one.name, one.old, one.new) for one in answer.context["settings"]] == [("Time limit (s)", "", "7")]
    same = client.get(reverse("saved-command-diff", args=[saved.pk]), {"from": 1, "to": 1})
    assert "They say the same" in text_of(same)
    assert client.get(reverse("saved-command-diff", args=[saved.pk]), {"from": 9}).status_code == 404


def test_texts_too_long_to_compare_are_not_compared(client, operator):
    saved = factories.saved_command(name="disk", text="a\n" * 20_000)
    factories.add_version(saved, text="b\n" * 20_000)
    assert "too long to compare" in page(client, "saved-command-diff", saved.pk)


# ------------------------------------------------------------------ add and change


def test_a_new_one_is_kept_with_everything_that_was_entered(client, operator):
    given = {
        "name": " disk ", "description": "a\r\nb", "tags": "x, y", "seen_by": "private", "text": "\r\ndf\r\n",
        "windows_type": "bat", "windows_text": "vol", "interpreter": "bash", "timeout_s": "5", "environment": "A=1",
        "arguments": "one\r\ntwo", "note": "first", **NO_ROWS,
    }  # fmt: skip
    answer = client.post(reverse("new-saved-command"), given)
    saved = SavedCommand.objects.get()
    assert answer.url == reverse("saved-command", args=[saved.pk])
    assert (saved.name, saved.description, saved.tags, saved.is_shared, saved.owner) == (
        "disk", "a\nb", ["x", "y"], False, operator,
    )  # fmt: skip
    latest = saved.latest
    assert (latest.text, latest.windows_type, latest.windows_text, latest.note) == ("\ndf\n", "bat", "vol", "first")
    assert latest.options == {"interpreter": "bash", "timeout_s": 5, "environment": "A=1\n", "arguments": "one\ntwo\n"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": ""}, "required"),
        ({"text": ""}, "Enter a command"),
        ({"tags": "a;b"}, "this is none: a;b"),
        ({"environment": "no sign"}, "Line 1 is not NAME=value"),
        ({"environment": "IFS=x"}, "cannot be used"),
        ({"run_as": "#0"}, "A user name has"),
        ({"timeout_s": "0"}, "The time limit is between 1 and 604,800 seconds."),
        ({"windows_directory": "C:\\\x01"}, "This is one line without control characters."),
        ({"name": "taken"}, "named taken already"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_said_and_nothing_is_lost(client, operator, changes, says):
    factories.saved_command(name="taken")
    kept = {
        "name": "new",
        "seen_by": "shared",
        "text": "kept text",
        "description": "kept words",
        "note": "kept note",
        **NO_ROWS,
    }
    answer = client.post(reverse("new-saved-command"), kept | changes)
    text = text_of(answer)
    assert answer.status_code == 422
    assert says in text
    for name in kept.keys() - changes.keys():
        assert kept[name] in text
    assert SavedCommand.objects.count() == 1


def test_a_form_that_is_sent_back_as_it_was_drawn_changes_nothing(client, operator):
    saved = factories.saved_command(name="disk", text="old")
    options = {"environment": "A=1", "arguments": "x", "timeout_s": 600, "run_as": "root"}
    factories.add_version(
        saved, text="\n#!/bin/sh\r\none\rtwo", windows_type="bat", windows_text="vol\r\n", options=options,
        parameters=[{"name": "path"}],
    )  # fmt: skip
    edit(client, saved, form_of(client, saved))
    assert saved.versions.count() == 2
    edit(client, saved, form_of(client, saved) | {"windows_text": "ver"})
    version = SavedCommand.objects.get().latest
    assert (version.number, version.text, version.windows_text) == (3, "\n#!/bin/sh\r\none\rtwo", "ver")
    assert (version.options, version.parameters) == (options, [{"name": "path"}])


def test_who_was_overtaken_is_told_loses_nothing_and_may_save_after_it(client, operator):
    saved = factories.saved_command(name="disk", text="df")
    mine = form_of(client, saved) | {"text": "df -h # mine"}
    theirs = form_of(client, saved) | {"text": "df -i # theirs"}
    client.force_login(factories.UserFactory(username="otto"))
    edit(client, saved, theirs)
    client.force_login(operator)
    answer = edit(client, saved, mine)
    text = text_of(answer)
    assert answer.status_code == 422
    assert "otto changed it meanwhile" in text
    assert "df -h # mine" in text
    assert reverse("saved-command-diff", args=[saved.pk]) + "?from=1&to=2" in text
    assert edit(client, saved, mine | {"base": answer.context["base"]}).status_code == 302
    assert list(saved.versions.values_list("text", flat=True)) == ["df -h # mine", "df -i # theirs", "df"]


def test_a_copy_has_everything_but_the_name(client, operator):
    saved = factories.saved_command(name="disk", text="df\r\n", description="words", tags=["a"])
    version = factories.add_version(saved, text="df\r\n", options={"timeout_s": 7}, parameters=[{"name": "path"}])
    address = reverse("new-saved-command") + f"?copy={version.pk}"
    form = client.get(address).context["form"]
    given = fields_of(form)
    client.post(address, {name: value for name, value in given.items() if value is not None})
    copy = SavedCommand.objects.get(name="disk (copy)")
    assert (copy.description, copy.tags, copy.owner) == ("words", ["a"], operator)
    assert (copy.latest.text, copy.latest.options, copy.latest.parameters) == (
        "df\r\n", {"timeout_s": 7}, [{"name": "path"}],
    )  # fmt: skip


@pytest.mark.parametrize("command_type", ["shell", "powershell"])
def test_a_run_is_kept_with_its_bytes_and_options(client, operator, command_type):
    shell = {"run_as": "root", "environment": (("A", "1"),), "secrets": (("TOKEN", "hidden"),)}
    run = send(
        command="one\r\n\ttwo", command_type=command_type, interpreter="x", timeout_s=9, working_directory="/srv",
        **(shell if command_type == "shell" else {}),
    )  # fmt: skip
    address = reverse("new-saved-command") + f"?run={run.pk}"
    assert address in page(client, "run", run.pk)
    form = client.get(address).context["form"]
    given = fields_of(form)
    client.post(
        address,
        {k: v.replace("\r\n", "\n") if isinstance(v, str) else v for k, v in given.items() if v is not None}
        | {"name": "kept"},
    )
    kept = SavedCommand.objects.get(name="kept").latest
    assert kept.first_text == "one\r\n\ttwo"
    initial = services.as_initial(kept)
    assert (initial["command_type"], initial["interpreter"], initial["working_directory"], initial["timeout_s"]) == (
        command_type, "x", "/srv", 9,
    )  # fmt: skip
    assert "hidden" not in str(kept.options)
    if command_type == "shell":
        assert (initial["run_as"], initial["environment"]) == ("root", "A=1\n")


# ------------------------------------------------------------------ one press


def test_restore_archive_and_delete_say_what_became_of_it(client, operator):
    saved = factories.saved_command(name="disk", text="df")
    factories.add_version(saved, text="df -h")
    answer = client.post(reverse("restore-saved-command", args=[saved.pk]), {"version": 1}, follow=True)
    assert "Saved as version 3." in text_of(answer)
    answer = client.post(reverse("archive-saved-command", args=[saved.pk]), follow=True)
    assert "It is archived" in text_of(answer)
    history = page(client, "saved-history", saved.pk)
    assert "How long its runs are kept" in history
    assert reverse("keep-runs") not in history
    assert reverse("send") + "?saved" not in text_of(answer)
    assert client.get(reverse("send"), {"saved": saved.pk}).status_code == 404
    client.post(reverse("archive-saved-command", args=[saved.pk]), {"undo": "1"})
    saved.refresh_from_db()
    used(saved)
    answer = client.post(reverse("delete-saved-command", args=[saved.pk]), follow=True)
    assert "archive it instead" in text_of(answer)
    Run.objects.update(saved_version=None)
    client.post(reverse("delete-saved-command", args=[saved.pk]))
    assert not SavedCommand.objects.exists()
