"""Keeping a command while it is sent, and where a run says it comes from."""

from html import unescape

import pytest
from django.urls import reverse

from console.runs.models import Run
from console.saved_commands.models import SavedCommand
from instances.access.models import Role
from tests.support import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client):
    user = factories.UserFactory(role=Role.OPERATOR)
    client.force_login(user)
    return user


@pytest.mark.parametrize("again", ["abc", "0", "-1", "9" * 30, "²"])
def test_a_run_that_is_none_cannot_be_sent_again(again, operator, client):
    assert client.get(reverse("send"), {"again": again}).status_code == 404


@pytest.fixture
def saved(operator):
    saved = factories.saved_command(name="disk", owner=operator)
    options = {"timeout_s": 30, "windows_interpreter": "pwsh"}
    factories.add_version(
        saved, text="df", windows_type="powershell", windows_text="gdr", options=options, parameters=[{"name": "path"}]
    )
    return saved


def submit(client, saved=None, **changes):
    """Send what the form holds when it was filled from a saved command, with changes."""
    instance = factories.InstanceFactory(os=changes.pop("os", "linux"))
    query = {"ids": str(instance.pk)} | ({"saved": saved.pk} if saved else {})
    form = client.get(reverse("send"), query).context["form"]
    given = {name: form[name].value() for name in form.fields}
    return client.post(reverse("send"), {name: value for name, value in given.items() if value is not None} | changes)


def panel(client):
    return unescape(client.get(reverse("run", args=[Run.objects.latest("pk").pk])).content.decode())


def test_a_run_names_the_version_it_was_made_from(client, saved):
    submit(client, saved)
    run = Run.objects.get()
    assert (run.saved_version, run.command, run.timeout_s) == (saved.latest, "df", 30)
    assert "<b>disk</b>, version 2" in panel(client)
    assert "changed before it was sent" not in panel(client)


def test_a_run_sent_again_comes_from_there_too_unless_it_is_somebody_elses_private_one(client, saved):
    submit(client, saved, command="df -h")
    address = reverse("send") + f"?again={Run.objects.get().pk}"
    assert client.get(address).context["form"].made_from == saved.latest
    SavedCommand.objects.update(is_shared=False, owner=factories.UserFactory())
    page = client.get(address)
    assert page.context["form"].made_from is None
    assert "disk" not in page.content.decode()


def test_what_was_changed_and_only_run_is_called_changed(client, saved):
    submit(client, saved, command="df -h")
    assert "changed before it was sent" in panel(client)
    assert saved.versions.count() == 2


def test_a_change_kept_as_a_version_is_what_the_run_was_made_from(client, saved):
    submit(client, saved, command="df -h", keep="version")
    run, latest = Run.objects.get(), SavedCommand.objects.get().latest
    assert (run.saved_version, latest.number, latest.text) == (latest, 3, "df -h")
    # What was not sent stays in it.
    assert (latest.windows_text, latest.parameters) == ("gdr", [{"name": "path"}])
    assert latest.options == {"timeout_s": 30, "windows_interpreter": "pwsh"}
    assert "changed before it was sent" not in panel(client)


def test_a_change_of_the_text_for_windows_leaves_the_one_for_shell(client, saved):
    submit(client, saved, os="windows", command="gdr -v", keep="version")
    latest = SavedCommand.objects.get().latest
    assert (latest.text, latest.windows_text, latest.options) == ("df", "gdr -v", saved.latest.options)
    assert Run.objects.get().interpreter == "pwsh"


def test_a_tick_left_from_a_mixed_selection_changes_nothing_of_what_is_kept(client, saved):
    submit(client, saved, command="df -h", keep="version", leave_out_posix="on", leave_out_windows="on")
    latest = SavedCommand.objects.get().latest
    assert (latest.text, latest.windows_text) == ("df -h", "gdr")


def test_a_family_left_out_of_a_mixed_selection_keeps_its_text(client, saved):
    both = ",".join(str(factories.InstanceFactory(os=os).pk) for os in ("linux", "windows"))
    changes = {"command": "df -h", "windows_command": "gdr -v", "keep": "version"}
    submit(client, saved, ids=both, split="1", leave_out_windows="on", **changes)
    latest = SavedCommand.objects.get().latest
    assert (latest.text, latest.windows_text, latest.options) == ("df -h", "gdr", saved.latest.options)


def test_a_change_kept_as_a_command_is_one_of_its_own(client, saved, operator):
    submit(client, saved, command="df -h", keep="command", keep_name="disk in words")
    made = SavedCommand.objects.get(name="disk in words")
    assert (made.owner, made.latest.text, Run.objects.get().saved_version) == (operator, "df -h", made.latest)
    assert saved.versions.count() == 2


def test_nothing_changed_makes_no_version(client, saved):
    submit(client, saved, keep="version")
    assert saved.versions.count() == 2
    assert Run.objects.get().saved_version == saved.latest


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"keep": "command"}, "Enter a name for the new command"),
        ({"keep": "command", "keep_name": "disk"}, "named disk already"),
        ({"keep_name": "disk"}, "named disk already"),
        ({"keep": "version", "command": ""}, "Enter a command"),
        ({"keep": "version", "command": "df -h", "timeout_s": "0"}, "The time limit is between"),
        ({"keep": "version", "command": "df -h", "max_concurrency": "5000"}, "Enter a number from 1 to 1000"),
    ],
    ids=["no-name", "taken", "taken-name", "empty", "option", "option-late"],
)
def test_what_cannot_be_kept_is_not_sent_and_what_cannot_be_sent_is_not_kept(client, saved, changes, says):
    answer = submit(client, saved, **changes)
    assert answer.status_code == 422
    assert says in unescape(answer.content.decode())
    assert not Run.objects.exists()
    assert (SavedCommand.objects.count(), saved.versions.count()) == (1, 2)


def test_a_version_made_meanwhile_is_not_overtaken(client, saved):
    base = saved.latest_id
    factories.add_version(saved, text="df -i")
    answer = submit(client, saved, saved_version=base, command="df -h", keep="version")
    assert answer.status_code == 422
    assert "it is at version 3 now. Nothing was saved. Run it only" in unescape(answer.content.decode())
    assert not Run.objects.exists()


def test_one_that_is_gone_meanwhile_is_told_and_the_form_can_be_sent_again(client, saved):
    answer = submit(client, saved, saved_version=999999)
    assert answer.status_code == 422
    text = unescape(answer.content.decode())
    assert "is not there any more. Run it again." in text
    assert "999999" not in text


def test_there_is_no_new_version_of_nothing(client, operator):
    answer = submit(client, command="id", keep="version")
    assert "there is none to make a new version of" in unescape(answer.content.decode())


def test_a_double_click_keeps_and_sends_once(client, operator):
    for _ in range(2):
        answer = submit(client, command="id", keep_name="once", request_key="the same")
        assert answer.status_code == 302
    assert (Run.objects.count(), SavedCommand.objects.count()) == (1, 1)


def test_an_older_version_is_sent_as_it_was(client, saved, operator):
    instance = factories.InstanceFactory()
    form = client.get(reverse("send"), {"ids": str(instance.pk), "saved": saved.pk, "version": 1}).context["form"]
    assert (form["command"].value(), form["saved_version"].value()) == ("true", saved.versions.get(number=1).pk)
    assert client.get(reverse("send"), {"saved": saved.pk, "version": 9}).status_code == 404


def test_a_saved_command_waits_in_the_dialog_for_its_instances(client, saved):
    page = client.get(reverse("home"), {"saved": saved.pk})
    assert page.context["form"]["command"].value() == "df"
    assert "Choose instances, then press Send Command" in page.content.decode()
    client.force_login(factories.UserFactory(role=Role.VIEWER))
    assert client.get(reverse("home"), {"saved": saved.pk}).status_code == 200
