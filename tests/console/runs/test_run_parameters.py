"""Parameters of a run: the form that asks for them, what is kept of them, and what an instance is given."""

import re
from html import unescape

import pytest
from django.urls import reverse

from console.runs import queue, services
from console.runs.models import Run, RunSecrets
from console.runs.prompts import Prompts
from console.runs.services import Origin, RunError
from console.saved_commands.models import SavedCommand
from console.worker import preparation
from instances.access.models import Group, Role
from instances.audit.models import AuditEntry
from instances.inventory.models import Tag
from tests.support import factories
from tests.support.runs import enlisted_worker

pytestmark = pytest.mark.django_db
SECRET = "k4nary-of-a-parameter"
TEXT = "deploy {{release}} '{{note}}' {{instance.name}}\n"
DECLARED = [
    {"name": "release", "type": "number", "required": True, "description": "Which one"},
    {"name": "note", "default": "nothing", "pattern": "[a-z ]*"},
    {"name": "level", "type": "choice", "choices": ["low", "high"], "default": "low"},
    {"name": "dry", "type": "boolean", "default": "true"},
    {"name": "token", "type": "secret"},
    {"name": "site", "type": "attribute", "default": "instance.tags.site", "required": True},
]
VALUES = {"param_release": "007", "param_note": "all well", "param_token": SECRET}


@pytest.fixture
def operator(client):
    user = factories.UserFactory(role=Role.OPERATOR)
    client.force_login(user)
    return client


@pytest.fixture
def version():
    saved = factories.saved_command(name="Deploy")
    return factories.add_version(saved, text=TEXT, parameters=DECLARED)


def instance(name="one", site="north", **fields):
    made = factories.InstanceFactory(name=name, **fields)
    if site:
        Tag.objects.create(instance=made, key="site", value=site)
    return made


def submit(client, version, target=None, **fields):
    target = target or instance()
    base = {"command_type": "shell", "command": version.first_text, "ids": str(target.pk), "saved_version": version.pk}
    return client.post(reverse("send"), {**base, **VALUES, **fields})


def same(run):
    """What the form chose for a run that is sent again: fields that are no text."""
    return {"command_type": "shell", "choose": "run", "former_run": str(run.pk), "which": "all"}


def chosen_in(page, name):
    """What a list of the page has chosen."""
    (options,) = re.findall(rf'<select name="{name}"[^>]*>(.*?)</select>', page, re.DOTALL)
    return re.search(r'value="([^"]*)" selected', options)[1]


def orders(run):
    claims = queue.claim(enlisted_worker(), slots=10, run_id=run.pk)
    return preparation.prepare(claims, Prompts())


def test_a_run_keeps_the_text_as_it_was_sent_and_the_values_but_not_the_secret_one(operator, version):
    answer = submit(operator, version, param_level="high", param_dry="false")
    assert answer.status_code == 302
    run = Run.objects.get()
    assert run.command == 'deploy "${PARAM_release}" \'\'"${PARAM_note}"\'\' "${MUSTER_INSTANCE_NAME}"\n'
    assert run.saved_version == version
    assert run.parameters == {"release": "7", "note": "all well", "level": "high", "dry": "false", "token": None}
    assert (run.secret_names, run.secret_variables, run.environment) == (["PARAM_token"], [], [])
    assert SECRET.encode() not in bytes(RunSecrets.objects.get().sealed)
    details = AuditEntry.objects.get(action="run.send").details
    assert (details["saved_command"], details["parameters"]) == ("Deploy (version 2)", list(run.parameters))
    assert "secret_variables" not in details
    page = operator.get(answer.url).content.decode()
    assert "release=7" in page
    assert "token=hidden" in page
    assert SECRET not in page + str(details) + str(Run.objects.values().get())


def test_each_instance_is_given_the_values_and_what_it_is_itself(version):
    eu = Group.objects.create(name="eu")
    two = [instance("one"), instance("two", "south", group=eu)]
    run = services.send_command(
        factories.UserFactory(role=Role.OPERATOR),
        instances=two,
        command="true {{release}} {{instance.name}} {{instance.tags.site}}; echo $MUSTER_INSTANCE_PORT",
        request_key="k",
        options=services.Options(parameters={"release": "1", "token": SECRET}, environment=(("A", "b"),)),
        origin=Origin(saved_version=version),
    )
    first, second = orders(run)
    kept = {"A": "b", "PARAM_release": "1", "PARAM_note": "nothing", "PARAM_level": "low", "PARAM_dry": "true"}
    for order, target, site in ((first, two[0], "north"), (second, two[1], "south")):
        assert dict(order.command.environment) == kept | {
            "PARAM_token": SECRET,
            "PARAM_site": site,
            "MUSTER_INSTANCE_NAME": target.name,
            "MUSTER_INSTANCE_TAG_site": site,
            "MUSTER_INSTANCE_PORT": str(target.port),
        }
        assert order.secrets == (SECRET,)
        assert SECRET not in repr(order)
    assert "south" not in str(Run.objects.values().get())


def test_an_instance_that_lacks_what_the_command_is_told_is_skipped_and_the_others_go_on(version):
    bare = instance("bare", site="")
    run = services.send_command(
        factories.UserFactory(role=Role.OPERATOR),
        instances=[bare, instance()],
        command="true",
        request_key="k",
        options=services.Options(parameters={"release": "1"}),
        origin=Origin(saved_version=version),
    )
    refusal, order = orders(run)
    assert (refusal.status, refusal.reason) == ("skipped", "attribute_unusable")
    assert refusal.message == "The instance has no tag site, which the command is to be told. It did not run."
    # A secret without a value is an empty variable.
    assert ("PARAM_token", "") in order.command.environment


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"param_release": ""}, "Enter a value."),
        ({"param_release": "a[$(id)]"}, "Enter a number"),
        ({"param_note": "NO"}, "does not match the pattern"),
        ({"param_level": "middle"}, "Choose one of low, high."),
        ({"param_token": "a\0b"}, "Null characters are not allowed."),
        ({"command": "x\ncat <<'A'\n{{release}}\nA"}, "Line 3: {{release}} stands in a here-document"),
        ({"command": "x {{other}}"}, "{{other}} is not declared"),
        ({"environment": "PARAM_note=x"}, "PARAM_note is given twice"),
    ],
)
def test_what_is_wrong_is_said_beside_it_and_nothing_but_secrets_is_lost(operator, version, fields, says):
    answer = submit(operator, version, **{"param_note": "kept words", "param_level": "high", **fields})
    page = unescape(answer.content.decode())
    assert answer.status_code == 422
    assert says in page
    assert SECRET not in page
    assert "of Deploy, version 2" in page
    if "param_note" not in fields:
        assert "kept words</textarea>" in page
    if "param_level" not in fields:
        assert '<option value="high" selected>' in page
    assert not Run.objects.exists()


def test_a_name_that_is_gone_is_told_and_values_without_a_saved_command_are_refused(operator, version):
    answer = submit(operator, version, saved_version=version.pk + 100)
    assert answer.status_code == 422
    assert "not there any more" in answer.content.decode()
    with pytest.raises(RunError, match="Only a saved command"):
        services.send_command(
            factories.UserFactory(role=Role.OPERATOR),
            instances=[instance("two")],
            command="true",
            request_key="k",
            options=services.Options(parameters={"a": "1"}),
        )


def test_a_command_of_ones_own_has_no_placeholders(operator):
    text = "docker ps --format '{{.Names}}' {{x}} \\{{x}}"
    operator.post(reverse("send"), {"command_type": "shell", "command": text, "ids": str(instance().pk)})
    assert Run.objects.get().command == text


def test_run_again_shows_the_saved_text_and_the_values_and_asks_for_the_secret(operator, version):
    submit(operator, version, param_level="high", param_dry="false")
    run = Run.objects.get()
    page = operator.get(reverse("send"), {"again": run.pk, "which": "all"}).content.decode()
    fields = fields_of(page)
    assert fields["command"] == TEXT
    assert (fields["param_release"], fields["param_note"]) == ("7", "all well")
    assert fields["saved_version"] == str(version.pk)
    assert "param_token" not in fields
    assert SECRET not in page
    assert chosen_in(page, "param_dry") == "false"
    operator.post(reverse("send"), {**fields, **VALUES, **same(run), "param_level": "high", "param_dry": "false"})
    again = Run.objects.first()
    assert (again.command, again.parameters, again.pk > run.pk) == (run.command, run.parameters, True)


def test_run_again_of_an_edited_text_sends_the_same_bytes(operator, version):
    submit(operator, version, command="other \\{{level}} {{release}}")
    run = Run.objects.get()
    assert run.command == 'other {{level}} "${PARAM_release}"'
    fields = fields_of(operator.get(reverse("send"), {"again": run.pk, "which": "all"}).content.decode())
    assert fields["command"] == 'other \\{{level}} "${PARAM_release}"'
    operator.post(reverse("send"), {**fields, **VALUES, **same(run)})
    again = Run.objects.first()
    assert (again.command, again.pk > run.pk) == (run.command, True)
    version.saved.delete()
    run.refresh_from_db()
    fields = fields_of(operator.get(reverse("send"), {"again": run.pk, "which": "all"}).content.decode())
    assert fields["command"] == run.command
    assert "PARAM_release=7" in fields["environment"]
    assert fields["secret_environment"] == "PARAM_token=\n"


def test_a_run_of_another_s_private_command_can_be_repeated_by_who_sees_it(operator, version):
    submit(operator, version)
    SavedCommand.objects.update(is_shared=False)
    fields = fields_of(operator.get(reverse("send"), {"again": Run.objects.get().pk}).content.decode())
    assert fields["saved_version"] == str(version.pk)
    assert not operator.get(reverse("send-parameters"), {"saved_version": version.pk + 1}).context["form"].parameters


def test_the_fields_come_by_themselves_with_defaults(operator, version):
    page = operator.get(reverse("send-parameters"), {"saved_version": version.pk}).content.decode()
    assert "<html" not in page
    assert re.search(r'name="param_note"[^>]*>\s*nothing</textarea>', page)
    assert re.search(r'type="password" name="param_token"', page)
    assert chosen_in(page, "param_dry") == "true"
    assert "Of each instance its instance.tags.site." in page
    assert "param_site" not in page
    none = operator.get(reverse("send-parameters"), {"saved_version": "x"}).content.decode()
    assert "fieldset" not in none


@pytest.mark.parametrize("given", ["true", "false"])
def test_yes_or_no_stays_as_it_was_chosen_whatever_page_comes_in_between(operator, version, given):
    one = instance()
    sent = {"command_type": "shell", "command": TEXT, "ids": str(one.pk), "saved_version": version.pk, **VALUES}
    page = operator.post(reverse("send"), {**sent, "param_dry": given, "look": "1"}).content.decode()
    assert chosen_in(page, "param_dry") == given

    without_secret = sent | {"param_token": "", "param_dry": given}
    asked = operator.post(reverse("add-schedule"), without_secret).context["form"]
    back = operator.post(reverse("add-schedule"), {"values": asked["values"].value(), "do": "back"}).content.decode()
    assert chosen_in(back, "param_dry") == given


def test_every_word_for_yes_is_shown_as_it_is_sent(operator):
    declared = [{"name": "dry", "type": "boolean", "default": "Yes"}, {"name": "wet", "type": "boolean"}]
    version = factories.add_version(factories.saved_command(name="Words"), text="id", parameters=declared)
    page = operator.get(reverse("send-parameters"), {"saved_version": version.pk}).content.decode()
    assert (chosen_in(page, "param_dry"), chosen_in(page, "param_wet")) == ("true", "false")


def test_what_is_kept_from_a_run_keeps_placeholders_and_parameters(operator, version):
    factories.UserFactory(role=Role.ADMINISTRATOR)
    submit(operator, version, keep_name="Deploy mine")
    kept = SavedCommand.objects.get(name="Deploy mine").latest
    assert (kept.text, kept.parameters) == (TEXT, DECLARED)
    operator.post(
        reverse("send"),
        {"command_type": "shell", "command": "f {{x}}", "ids": str(instance("two").pk), "keep_name": "Plain"},
    )
    plain = SavedCommand.objects.get(name="Plain").latest
    assert plain.text == "f \\{{x}}"
    submit(operator, plain, instance("three"), param_release="", command=plain.text)
    assert Run.objects.first().command == "f {{x}}"


def test_windows_is_given_them_too_and_bat_only_what_cmd_cannot_misread(operator):
    saved = factories.saved_command(name="Dir", text="dir", command_type="bat")
    version = factories.add_version(
        saved, text='dir "{{folder}}"', command_type="bat", parameters=[{"name": "folder", "type": "text"}]
    )
    target = instance("win", os="windows")
    data = {"command_type": "bat", "param_folder": "C:\\Users & x"}
    refused = submit(operator, version, target, **data)
    assert "Bat takes letters from A to Z" in unescape(refused.content.decode())
    submit(operator, version, target, **data | {"param_folder": "C:\\Users"})
    run = Run.objects.get()
    assert run.command == 'dir "%PARAM_folder%"'
    (order,) = orders(run)
    assert order.command.environment == (("PARAM_folder", "C:\\Users"),)


def test_an_attribute_that_bat_could_misread_is_not_told(operator):
    saved = factories.saved_command(name="Echo", text="echo {{instance.tags.site}}", command_type="bat")
    target = instance("win", "a&b", os="windows")
    submit(operator, saved.latest, target, command_type="bat")
    (refusal,) = orders(Run.objects.get())
    assert "cannot be told to a Bat command" in refusal.message


def fields_of(page):
    fields = dict(re.findall(r'<input type="(?!password|checkbox|radio)[^>]* name="(\w+)"[^>]* value="([^"]*)"', page))
    fields |= dict(re.findall(r'<textarea[^>]* name="(\w+)"[^>]*>\n(.*?)</textarea>', page, re.DOTALL))
    fields |= dict(re.findall(r'<input[^>]* name="(ids|request_key)"[^>]* value="([^"]*)"', page))
    return {name: unescape(value) for name, value in fields.items()}
