import pytest
from django.core.management import call_command

from console.saved_commands.models import SavedCommand
from instances.access.models import Role
from tests.support import factories

pytestmark = pytest.mark.django_db


def test_a_folder_is_written_and_read_again(tmp_path, capsys):
    factories.saved_command(name="Disk usage", text="df\r\n", tags=["disk"])
    factories.saved_command(name="notes", owner=factories.UserFactory(), is_shared=False)
    folder = tmp_path / "new" / "scripts"
    call_command("export_saved", str(folder))
    (folder / "old.sh").write_text("id")
    call_command("export_saved", str(folder))
    assert "old.sh is none of them" in capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir()) == ["disk-usage.sh", "old.sh"]
    script = folder / "disk-usage.sh"
    script.write_bytes(script.read_bytes() + b"df -i\r\n")
    call_command("import_saved", str(folder), "--dry-run")
    assert "Would import: 1 new, 1 new version. Nothing was done." in capsys.readouterr().out
    assert SavedCommand.objects.get(name="Disk usage").latest.number == 1
    call_command("import_saved", str(folder))
    assert "Disk usage: new version\nold: new\nImported: 1 new, 1 new version." in capsys.readouterr().out
    assert SavedCommand.objects.get(name="Disk usage").latest.text == "df\r\ndf -i\r\n"


def test_a_member_writes_what_he_sees_and_owns_what_he_reads(tmp_path):
    owner = factories.UserFactory(username="olga", role=Role.OPERATOR)
    factories.saved_command(name="notes", owner=owner, is_shared=False)
    call_command("export_saved", str(tmp_path), "--as", "olga")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.sh"]
    SavedCommand.objects.all().delete()
    call_command("import_saved", str(tmp_path), "--as", "olga")
    assert (SavedCommand.objects.get().owner, SavedCommand.objects.get().is_shared) == (owner, False)


def test_the_starter_library_is_added_once(capsys):
    call_command("import_saved", "--starter")
    count = SavedCommand.objects.count()
    assert count >= 12
    call_command("import_saved", "--starter")
    assert f"Imported: {count} unchanged." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Name a folder, or give --starter."),
        (["nowhere"], "No such file or directory"),
        (["--starter", "--as", "nobody"], "There is no active user nobody."),
        (["--starter", "--as", "viewer"], "You are not allowed to manage saved commands"),
        (["wrong"], "Nothing was imported (1 new, 2 errors): mend what has an error"),
        (["wrong", "--dry-run"], "Nothing would be imported (1 new, 2 errors): mend what has an error"),
    ],
    ids=["nothing", "no-folder", "nobody", "viewer", "wrong", "wrong-dry"],
)
def test_what_cannot_be_imported_is_one_sentence_and_nothing_is(tmp_path, monkeypatch, capsys, arguments, says):
    factories.UserFactory(username="viewer", role=Role.VIEWER)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "good.sh").write_text("id")
    (tmp_path / "wrong" / "bad.sh").write_bytes(b"\xff")
    (tmp_path / "wrong" / "worse.sh").write_text("rm {{undeclared}}")
    with pytest.raises(SystemExit) as ended:
        call_command("import_saved", *arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err
    assert not SavedCommand.objects.exists()
