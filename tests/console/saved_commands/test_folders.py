"""The library as files: what an import would change, doing it, and zip files that are not what they seem."""

import io
import stat
import zipfile

import pytest

from console.saved_commands import folders, services
from console.saved_commands.content import Content, Details, SavedCommandError
from console.saved_commands.folders import Outcome
from console.saved_commands.models import SavedCommand
from instances.access.models import Role
from instances.access.rules import NotAllowed
from tests.support import factories

pytestmark = pytest.mark.django_db
ODD = {
    "CR LF": "echo one\r\necho two\r\n",
    "no final line end": "#!/bin/sh\necho",
    "header-like": "# muster: name: other\n# muster: end\n",
    "Ünïcode ☃": "echo ☃\n",
    "blank lines around": "\n\necho\n\n",
}


@pytest.fixture
def operator():
    return factories.UserFactory(role=Role.OPERATOR)


def imported(user, files):
    plan = folders.plan(user, files)
    folders.apply(user, plan, source="test")
    return [one.outcome for one in plan.commands]


def test_what_is_exported_comes_back_the_same_and_again(operator):
    for name, text in ODD.items():
        services.keep(
            operator, details=Details(name, tags=["odd"]), content=Content(text, "bat", text, {"timeout_s": 5})
        )
    services.keep(operator, details=Details("mine", is_shared=False), content=Content(text="id"))
    first = folders.zipped(folders.exported(operator))
    kept = dict(SavedCommand.objects.values_list("name", "latest__text"))
    SavedCommand.objects.all().delete()
    assert set(imported(operator, folders.unzipped(first))) == {Outcome.NEW}
    assert dict(SavedCommand.objects.values_list("name", "latest__text")) == kept
    assert not SavedCommand.objects.get(name="mine").is_shared
    assert folders.zipped(folders.exported(operator)) == first
    assert set(imported(operator, folders.unzipped(first))) == {Outcome.UNCHANGED}


def test_a_placeholder_that_is_not_declared_is_an_error_of_its_file_alone(operator):
    files = {"a.sh": b"df {{disk}}\n", "b.sh": b"docker ps --format '{{.Names}}'\n", "c.sh": b"df \\{{disk}}\n"}
    plan = folders.plan(operator, files)
    assert [one.outcome for one in plan.commands] == [Outcome.ERROR, Outcome.NEW, Outcome.NEW]
    assert "{{disk}} is not declared" in plan.commands[0].error
    declared = b'# muster: parameters: [{"name": "disk"}]\n# muster: end\ndf {{disk}}\n'
    assert imported(operator, {"a.sh": declared}) == [Outcome.NEW]
    bad = declared.replace(b'"disk"}', b'"disk", "type": "date"}')
    assert "The type is one of" in folders.plan(operator, {"z.sh": bad}).commands[0].error


def test_what_is_there_gets_a_version_or_a_description_and_keeps_who_sees_it(operator):
    saved = services.keep(operator, details=Details("disk", is_shared=False), content=Content(text="df\n"))
    described = b"# muster: name: disk\n# muster: description: Space\n# muster: end\ndf\n"
    assert imported(operator, {"x.sh": described}) == [Outcome.DESCRIBED]
    assert imported(operator, {"x.sh": described + b"df -i\n"}) == [Outcome.VERSION]
    saved.refresh_from_db()
    assert (saved.description, saved.latest.number, saved.latest.note, saved.is_shared) == ("Space", 2, "test", False)


def test_an_archived_one_and_a_private_one_of_somebody_else_are_left_alone(operator):
    archived = services.keep(operator, details=Details("old"), content=Content(text="a"))
    services.set_archived(operator, saved=archived, archived=True)
    services.keep(factories.UserFactory(), details=Details("notes", is_shared=False), content=Content(text="b"))
    assert imported(operator, {"old.sh": b"x", "notes.sh": b"x"}) == [Outcome.ERROR] * 2
    assert folders.exported(operator) == {}


def test_names_that_differ_in_capitals_alone_are_an_error_of_their_file_alone(operator):
    services.keep(operator, details=Details("disk"), content=Content(text="df"))
    plan = folders.plan(operator, {"DISK.sh": b"df", "new.sh": b"id", "New.sh": b"id"})
    outcomes = {one.name: (one.outcome, one.error.partition(",")[0]) for one in plan.commands}
    assert outcomes.pop("DISK") == (Outcome.ERROR, "There is disk already")
    assert sorted(outcomes.values()) == [(Outcome.ERROR, "There is New already"), (Outcome.NEW, "")]
    folders.apply(operator, plan, source="test")


def test_somebody_who_changes_it_between_the_look_and_the_import_is_not_overwritten(operator):
    saved = services.keep(operator, details=Details("disk"), content=Content(text="df"))
    plan = folders.plan(operator, {"disk.sh": b"df -h", "new.sh": b"id"})
    base = services.edit_token(saved)
    services.change(operator, saved=saved, details=Details("disk"), content=Content(text="df -i"), base=base)
    with pytest.raises(services.ChangedMeanwhile):
        folders.apply(operator, plan, source="test")
    assert list(SavedCommand.objects.values_list("name", "latest__text")) == [("disk", "df -i")]
    assert folders.plan(operator, {"disk.sh": b"df -h", "new.sh": b"id"}).version != plan.version


def test_a_viewer_imports_nothing():
    with pytest.raises(NotAllowed):
        imported(factories.UserFactory(role=Role.VIEWER), {"a.sh": b"id"})


# ------------------------------------------------------------------ zip files


def zip_of(**entries):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return out.getvalue()


def link():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        entry = zipfile.ZipInfo("a.sh")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/shadow")
    return out.getvalue()


def damaged():
    data = bytearray(zip_of(**{"a.sh": b"echo " * 100}))
    at = data.index(b"a.sh") + 4
    data[at : at + 8] = b"\xff" * 8
    return bytes(data)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: b"no zip", "cannot be read"),
        (lambda: zip_of(**{"../a.sh": b"x"}), "leads out of it"),
        (lambda: zip_of(**{"/a.sh": b"x"}), "leads out of it"),
        (lambda: zip_of(**{"..\\a.sh": b"x"}), "leads out of it"),
        (lambda: zip_of(**{"C:/a.sh": b"x"}), "leads out of it"),
        (link, "leads out of it"),
        (lambda: zip_of(**{"a.sh": b"\n" * 3_000_000}), "too large for a script"),
        (lambda: zip_of(**{f"{n}.sh": b"\n" * 1_200_000 for n in range(40)}), "come to more than"),
        (lambda: zip_of(**{f"{n}.sh": b"x" for n in range(2001)}), "more than 2,000 entries"),
        (lambda: b"PK" + b"x" * 2 * 1024 * 1024, "at most 2,097,152 bytes"),
        (damaged, "cannot be read"),
    ],
    ids=["text", "parent", "root", "backslash", "drive", "link", "bomb", "many-bombs", "many", "large", "damaged"],
)
def test_a_zip_file_that_is_not_one_of_scripts_is_refused(make, says):
    with pytest.raises(SavedCommandError, match=says):
        folders.unzipped(make())


def test_other_files_of_a_zip_file_are_passed_over():
    assert folders.unzipped(zip_of(**{"top/a.sh": b"id", "top/README.md": b"x", "top/": b""})) == {"top/a.sh": b"id"}
