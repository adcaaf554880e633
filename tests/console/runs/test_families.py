"""Mixed selections: one command per OS family, and none ever sent to the other one."""

import pytest
from django.urls import reverse

from console.runs import families, queue, refusals
from console.runs.families import Part, send_to_families, sent_with
from console.runs.models import Run
from console.runs.prompts import Prompts
from console.runs.services import Options, RunError
from console.saved_commands.models import SavedCommand
from console.worker.preparation import Order, Refusal, prepare
from instances.access.models import Role
from instances.access.rules import NotAllowed
from instances.inventory.models import OS, Instance
from tests.support import factories
from tests.support.runs import enlisted_worker, send

pytestmark = pytest.mark.django_db


@pytest.fixture
def linux():
    return factories.InstanceFactory(os="linux")


@pytest.fixture
def windows():
    return factories.InstanceFactory(os="windows")


@pytest.fixture
def operator(client):
    user = factories.UserFactory(role=Role.OPERATOR)
    client.force_login(user)
    return user


def parts(linux, windows, command="hostname"):
    return {
        "posix": Part([linux], "uname", Options()),
        "windows": Part([windows], command, Options(command_type="powershell")),
    }


def form_of(*instances, **changes):
    return {
        "ids": ",".join(str(instance.pk) for instance in instances),
        "split": "1",
        "command": "uname",
        "command_type": "shell",
        "windows_command": "hostname\r\nver",
        "windows_type": "bat",
        "request_key": "key",
        **changes,
    }


def sent():
    return [(run.command_type, run.command, run.target_count) for run in Run.objects.order_by("pk")]


def test_each_family_gets_a_run_of_its_own_and_each_run_knows_the_other(operator, linux, windows):
    first, second = send_to_families(operator, **parts(linux, windows), request_key="k")
    assert sent() == [("shell", "uname", 1), ("powershell", "hostname", 1)]
    assert (first.counts, second.counts) == ({"queued": 1}, {"queued": 1})
    assert (list(sent_with(operator, first)), list(sent_with(operator, second))) == ([second], [first])


def test_a_double_click_makes_neither_run_twice(operator, linux, windows):
    first, second = (send_to_families(operator, **parts(linux, windows), request_key="k") for _ in range(2))
    assert first == second
    assert Run.objects.count() == 2


def test_nothing_is_sent_when_one_of_the_two_is_refused(operator, linux, windows):
    for command in ("", "a\0b"):
        with pytest.raises(RunError) as refused:
            send_to_families(operator, **parts(linux, windows, command), request_key="k")
        assert refused.value.field == "windows_command"
    assert not Run.objects.exists()


def test_who_may_not_send_makes_no_run(linux, windows):
    with pytest.raises(NotAllowed):
        send_to_families(factories.UserFactory(role=Role.VIEWER), **parts(linux, windows), request_key="k")


def test_the_other_run_is_shown_only_to_those_who_may_see_it(operator, windows):
    group = factories.GroupFactory()
    first, _ = send_to_families(operator, **parts(factories.InstanceFactory(group=group), windows), request_key="k")
    assert not sent_with(factories.UserFactory(role=Role.VIEWER, role_group=group), first).exists()


# ------------------------------------------------------------------ the form


def test_the_form_sends_both_and_shows_a_page_that_leads_to_both(client, operator, linux, windows):
    answer = client.post(reverse("send"), form_of(linux, windows), follow=True)
    first, second = Run.objects.order_by("pk")
    assert sent() == [("shell", "uname", 1), ("bat", "hostname\nver", 1)]
    assert answer.redirect_chain == [(reverse("run", args=[first.pk]), 302)]
    assert f'href="{reverse("run", args=[second.pk])}"' in answer.content.decode()
    assert f"run {first.pk}</a>: Shell on 1 Linux" in client.get(reverse("run", args=[second.pk])).content.decode()


@pytest.mark.parametrize(
    ("field", "kept"),
    [("leave_out_windows", [("shell", "uname", 1)]), ("leave_out_posix", [("bat", "hostname\nver", 1)])],
)
def test_a_family_can_be_left_out_on_purpose(client, operator, linux, windows, field, kept):
    other = "command" if field == "leave_out_posix" else "windows_command"
    assert client.post(reverse("send"), form_of(linux, windows, **{field: "on", other: ""})).status_code == 302
    assert sent() == kept


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"windows_command": " "}, "windows_command", "Enter a command, or leave these instances out."),
        ({"command": ""}, "command", "Enter a command, or leave these instances out."),
        ({"command_type": "bat"}, "command", "Linux and macOS take Shell"),
        ({"windows_type": "shell"}, "windows_type", "Select a valid choice"),
        ({"windows_interpreter": "pwsh"}, "windows_interpreter", "cmd.exe runs Bat"),
        ({"leave_out_posix": "on", "leave_out_windows": "on"}, "ids", "Every selected instance is left out"),
    ],
)
def test_what_is_missing_is_told_beside_its_field_and_nothing_is_lost(
    client, operator, linux, windows, changes, field, message
):
    answer = client.post(reverse("send"), form_of(linux, windows, **changes))
    page = answer.content.decode()
    assert answer.status_code == 422
    assert message in answer.context["form"].errors[field][0]
    assert message in page
    if "windows_command" not in changes:
        assert "hostname" in page
    assert not Run.objects.exists()


def test_the_page_without_javascript_has_a_section_per_family(client, operator, linux, windows):
    mixed = client.get(reverse("send"), {"ids": f"{linux.pk},{windows.pk}"}).content.decode()
    assert '<section class="send__family" data-family="windows" aria-labelledby="send-windows-title" >' in mixed
    assert 'name="split" value="1"' in mixed
    assert "will be skipped" not in mixed
    alone = client.get(reverse("send"), {"ids": str(linux.pk)}).content.decode()
    assert 'aria-labelledby="send-windows-title" hidden>' in alone
    assert 'name="split" value=""' in alone


@pytest.mark.parametrize(("os", "command_type"), [("linux", "shell"), ("macos", "shell"), ("windows", "powershell")])
def test_the_form_begins_with_the_type_of_the_selected_family(client, operator, os, command_type):
    page = client.get(reverse("send"), {"ids": str(factories.InstanceFactory(os=os).pk)}).content.decode()
    assert f'name="command_type" value="{command_type}" checked' in page
    assert "will be skipped" not in page


def test_a_saved_command_keeps_its_type(client, operator, linux, windows):
    saved = factories.saved_command(name="s", text="ver", command_type="bat")
    alone = client.get(reverse("send"), {"ids": str(linux.pk), "saved": saved.pk})
    assert 'name="command_type" value="bat" checked' in alone.content.decode()
    assert "Bat does not run on Linux" in alone.content.decode()
    mixed = client.get(reverse("send"), {"ids": f"{linux.pk},{windows.pk}", "saved": saved.pk}).context["form"]
    assert (mixed["windows_type"].value(), mixed["windows_command"].value()) == ("bat", "ver")
    assert (mixed["command_type"].value(), mixed["command"].value()) == ("shell", "")


def test_both_commands_are_kept_under_one_name(client, linux, windows):
    client.force_login(factories.UserFactory(role=Role.ADMINISTRATOR))
    client.post(reverse("send"), form_of(linux, windows, keep_name="names"))
    kept = SavedCommand.objects.get()
    sent = {run.command_type: run.command for run in Run.objects.all()}
    assert {"shell": kept.latest.text, kept.latest.windows_type: kept.latest.windows_text} == sent
    assert {run.saved_version for run in Run.objects.all()} == {kept.latest}


def test_a_saved_command_for_both_families_sends_the_text_of_the_selected_one(client, operator, linux, windows):
    saved = factories.saved_command(name="s", text="uname")
    factories.add_version(
        saved,
        text="uname",
        windows_type="bat",
        windows_text="ver",
        options={"windows_directory": "C:\\", "run_as": "root"},
    )
    page = {"saved": saved.pk}
    shell = client.get(reverse("send"), page | {"ids": str(linux.pk)}).context["form"]
    bat = client.get(reverse("send"), page | {"ids": str(windows.pk)}).context["form"]
    both = client.get(reverse("send"), page | {"ids": f"{linux.pk},{windows.pk}"}).context["form"]
    assert (shell["command_type"].value(), shell["command"].value(), shell["run_as"].value()) == (
        "shell",
        "uname",
        "root",
    )
    assert (bat["command_type"].value(), bat["command"].value(), bat["run_as"].value()) == ("bat", "ver", "")
    assert bat["working_directory"].value() == "C:\\"
    assert (both["command"].value(), both["windows_command"].value()) == ("uname", "ver")


# ------------------------------------------------------------------ never to the other family


@pytest.mark.parametrize("os", OS)
@pytest.mark.parametrize("command_type", ["shell", "bat", "powershell"])
@pytest.mark.parametrize("is_corrected_later", [False, True])
def test_no_order_is_ever_made_for_an_instance_of_another_family(os, command_type, is_corrected_later):
    takes = command_type in refusals.TAKES[os]
    fitting = "linux" if command_type == "shell" else "windows"
    instance = factories.InstanceFactory(os=fitting if is_corrected_later else os)
    run = send(instances=[instance], command_type=command_type)
    Instance.objects.filter(pk=instance.pk).update(os=os)
    claims = queue.claim(enlisted_worker(), slots=5)
    prepared = prepare(claims, Prompts())
    assert [type(one) for one in prepared] == ([Order] if takes else [Refusal] if is_corrected_later else [])
    for one in prepared:
        assert takes or (one.status, one.reason) == ("skipped", "os_mismatch")
    if not takes and not is_corrected_later:
        assert run.invocations.get().reason == "os_mismatch"


def test_windows_is_what_takes_no_shell():
    assert [os.value for os in OS if families.is_windows(os)] == ["windows"]
