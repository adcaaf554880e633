"""Who keeps, sees and changes which saved commands, and what makes a version."""

import pytest

from console.saved_commands import services
from console.saved_commands.content import Content, Details, SavedCommandError
from console.saved_commands.models import SavedCommand, SavedCommandVersion
from console.saved_commands.services import ChangedMeanwhile, edit_token
from instances.access.models import Role
from instances.access.rules import NotAllowed
from instances.audit.models import AuditEntry
from tests.support import factories
from tests.support.runs import send

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator():
    return factories.UserFactory(role=Role.OPERATOR)


@pytest.fixture
def kept(operator):
    return services.keep(operator, details=Details("disk"), content=Content(text="df"))


def change(actor, kept, *, name="disk", text="df", base=None, **fields):
    details = {name: fields.pop(name) for name in ("description", "tags", "is_shared") if name in fields}
    base = base or edit_token(SavedCommand.objects.select_related("latest").get(pk=kept.pk))
    content = Content(text=text, **fields)
    return services.change(actor, saved=kept, details=Details(name, **details), content=content, base=base)


def recorded():
    return list(AuditEntry.objects.order_by("pk").values_list("action", "subject"))


# ------------------------------------------------------------------ versions


def test_a_change_of_what_is_sent_is_a_version_and_the_former_one_stays(operator, kept):
    changed = change(operator, kept, text="df -h", options={"timeout_s": 5})
    assert changed.is_new_version
    assert [(one.number, one.text, one.options) for one in kept.versions.all()] == [
        (2, "df -h", {"timeout_s": 5}),
        (1, "df", {}),
    ]
    assert SavedCommand.objects.get().latest == changed.version
    assert recorded()[-1] == ("saved_command.change", "saved command disk")


def test_a_change_of_what_it_is_called_is_none(operator, kept):
    changed = change(operator, kept, name="disks", description="of all", tags=["space"])
    assert not changed.is_new_version
    saved = SavedCommand.objects.get()
    assert (saved.name, saved.description, saved.tags, saved.versions.count()) == ("disks", "of all", ["space"], 1)
    assert recorded()[-1] == ("saved_command.describe", "saved command disks")


def test_nothing_changed_leaves_no_trace(operator, kept):
    before = (SavedCommand.objects.values().get(), recorded())
    assert not change(operator, kept).is_new_version
    assert (SavedCommand.objects.values().get(), recorded()) == before


def test_the_second_of_two_editors_is_told_and_nothing_is_written(operator, kept):
    base = edit_token(kept)
    change(factories.UserFactory(username="first"), kept, text="df -h")
    with pytest.raises(ChangedMeanwhile, match="first changed it meanwhile: it is at version 2"):
        change(operator, kept, text="df -i", base=base)
    assert kept.versions.count() == 2


def test_an_editor_of_the_description_overtakes_nobody_silently_either(operator, kept):
    base = edit_token(kept)
    change(operator, kept, description="first")
    with pytest.raises(ChangedMeanwhile):
        change(operator, kept, description="second", base=base)


def test_an_older_version_is_restored_as_a_new_one(operator, kept):
    change(operator, kept, text="df -h")
    assert services.restore(operator, saved=kept, number=1).version.number == 3
    latest = SavedCommand.objects.get().latest
    assert (latest.text, latest.note) == ("df", "As version 1")
    assert not services.restore(operator, saved=kept, number=1).is_new_version
    with pytest.raises(SavedCommandError, match="no version 9"):
        services.restore(operator, saved=kept, number=9)


def test_parameters_make_a_version_and_go_along(operator, kept):
    changed = change(operator, kept, parameters=[{"name": "path", "type": "text"}])
    assert changed.is_new_version
    assert SavedCommand.objects.get().latest.parameters == [{"name": "path", "type": "text"}]


def test_no_version_is_made_whose_placeholders_are_not_declared(operator, kept):
    undeclared = factories.add_version(kept, text="df {{path}}")
    kept.refresh_from_db()
    change(operator, kept, text="df {{path}}", parameters=[{"name": "path"}])
    for attempt in (
        lambda: change(operator, kept, text="df {{path}}"),
        lambda: services.add_version(operator, base=SavedCommand.objects.get().latest, content=Content("df {{other}}")),
        lambda: services.restore(operator, saved=kept, number=undeclared.number),
    ):
        with pytest.raises(SavedCommandError, match="is not declared as a parameter") as refused:
            attempt()
        assert refused.value.field == "text"
    assert kept.versions.count() == 3
    with pytest.raises(SavedCommandError, match=r"^\{\{a\}\}, \{\{b\}\} are not declared as parameters\."):
        change(operator, kept, text="df {{a}} {{path}} {{b}} {{a}}", parameters=[{"name": "path"}])


# ------------------------------------------------------------------ who may


def test_a_viewer_keeps_and_changes_nothing(kept):
    viewer = factories.UserFactory(role=Role.VIEWER)
    for attempt in (
        lambda: services.keep(viewer, details=Details("mine"), content=Content(text="id")),
        lambda: change(viewer, kept, text="id"),
        lambda: services.restore(viewer, saved=kept, number=1),
        lambda: services.set_archived(viewer, saved=kept, archived=True),
        lambda: services.delete(viewer, saved=kept),
    ):
        with pytest.raises(NotAllowed):
            attempt()


def test_every_operator_changes_a_shared_one_and_only_its_owner_takes_it_from_the_others(operator, kept):
    other = factories.UserFactory(role=Role.OPERATOR)
    assert change(other, kept, text="id").is_new_version
    with pytest.raises(SavedCommandError, match="Only its owner"):
        change(other, kept, text="id", is_shared=False)
    change(operator, kept, text="id", is_shared=False)
    assert not services.seen(other).exists()


def test_a_private_one_is_its_owners_alone_also_for_an_administrator(operator):
    private = services.keep(operator, details=Details("notes", is_shared=False), content=Content(text="id"))
    administrator = factories.UserFactory()
    assert not services.seen(administrator).exists()
    assert not services.versions_visible_to(administrator).exists()
    with pytest.raises(NotAllowed):
        services.delete(administrator, saved=private)
    # The audit is read by administrators.
    assert recorded() == [("saved_command.keep", f"private saved command {private.pk}")]


# ------------------------------------------------------------------ archive and delete


def test_an_archived_one_is_offered_nowhere_and_comes_back(operator, kept):
    services.set_archived(operator, saved=kept, archived=True)
    assert not services.visible(operator).exists()
    assert services.seen(operator).exists()
    services.set_archived(operator, saved=kept, archived=False)
    assert services.visible(operator).exists()
    assert [action for action, _ in recorded()[1:]] == ["saved_command.archive", "saved_command.unarchive"]


def test_one_that_runs_point_at_is_not_deleted(operator, kept):
    run = send()
    type(run).objects.filter(pk=run.pk).update(saved_version=kept.latest)
    with pytest.raises(SavedCommandError, match="archive it instead"):
        services.delete(operator, saved=kept)
    type(run).objects.filter(pk=run.pk).update(saved_version=None)
    services.delete(operator, saved=kept)
    assert not SavedCommandVersion.objects.exists()


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("details", "content", "field"),
    [
        ({"name": ""}, {}, "name"),
        ({"name": "x" * 81}, {}, "name"),
        ({"name": "two\nlines"}, {}, "name"),
        ({"name": "\u202ecod"}, {}, "name"),
        ({"name": "\u200b"}, {}, "name"),
        ({"description": "x" * 2001}, {}, "description"),
        ({"tags": ["no blank"]}, {}, "tags"),
        ({}, {"text": " "}, "text"),
        ({}, {"text": "a\0b"}, "text"),
        ({}, {"text": "\ud800"}, "text"),
        ({}, {"text": "x" * (1024 * 1024 + 1)}, "text"),
        ({}, {"windows_text": "ver", "windows_type": "shell"}, "windows_type"),
        ({}, {"options": {"ids": "1"}}, "text"),
        ({}, {"options": {"secret_environment": "A=1"}}, "text"),
        ({}, {"options": {"timeout_s": "5"}}, "timeout_s"),
        ({}, {"options": {"interpreter": ["sh"]}}, "interpreter"),
        ({}, {"parameters": ["path"]}, "parameters"),
        ({}, {"parameters": [{"name": "1"}]}, "parameters"),
        ({}, {"parameters": [{"name": "a"}, {"name": "A"}]}, "parameters"),
        ({}, {"parameters": [{"name": "a", "type": "choice", "choices": 5}]}, "parameters"),
        ({}, {"text": "df {{path}}"}, "text"),
        ({}, {"windows_text": "dir {{path}}", "windows_type": "bat"}, "windows_text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value) or "usual",
)
def test_what_cannot_be_kept_is_refused_with_its_field(operator, details, content, field):
    with pytest.raises(SavedCommandError) as refused:
        services.keep(
            operator, details=Details(**{"name": "new"} | details), content=Content(**{"text": "true"} | content)
        )
    assert refused.value.field == field
    assert not SavedCommand.objects.exists()


def test_a_name_that_differs_in_capitals_alone_is_refused_but_what_is_there_stays(operator, kept):
    text, other = Content(text="id"), factories.UserFactory(role=Role.OPERATOR)
    services.keep(operator, details=Details("Größe"), content=text)
    for name, there in (("DISK", "disk"), ("gRÖSSE", "Größe")):
        with pytest.raises(SavedCommandError, match=f"There is {there} already"):
            services.keep(other, details=Details(name), content=text)
    with pytest.raises(SavedCommandError, match="There is Größe already"):
        change(operator, kept, name="GRÖSSE")
    # One's own, in other capitals.
    change(operator, kept, name="Disk")
    # Nobody is told of a private one; made shared, it would stand beside the other.
    mine = services.keep(operator, details=Details("notes", is_shared=False), content=text)
    services.keep(other, details=Details("Notes"), content=text)
    change(operator, mine, name="notes", text="id -u", is_shared=False)
    with pytest.raises(SavedCommandError, match="There is Notes already"):
        change(operator, mine, name="notes", text="id -u", is_shared=True)


def test_a_name_is_there_once_and_the_refusal_does_not_tell_whose(operator, kept):
    with pytest.raises(SavedCommandError, match="named disk already"):
        services.keep(operator, details=Details("disk"), content=Content(text="id"))
    services.keep(factories.UserFactory(), details=Details("notes", is_shared=False), content=Content(text="id"))
    with pytest.raises(SavedCommandError, match="archived saved command or a private one"):
        services.keep(operator, details=Details("notes"), content=Content(text="id"))


def test_the_form_is_filled_with_nothing_that_chooses_instances():
    version = factories.saved_command(name="old").latest
    version.options = {"ids": "1,2", "timeout_s": 5}
    assert services.as_initial(version) == {
        "timeout_s": 5,
        "command": "true",
        "command_type": "shell",
        "saved_version": version.pk,
    }
