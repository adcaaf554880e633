from django.db import migrations


def give_each_a_first_version(apps, schema_editor):
    SavedCommand = apps.get_model("console", "SavedCommand")
    Version = apps.get_model("console", "SavedCommandVersion")
    for saved in SavedCommand.objects.select_related("owner"):
        is_shell = saved.command_type == "shell"
        saved.latest = Version.objects.create(
            saved=saved,
            number=1,
            text=saved.text if is_shell else "",
            windows_type="" if is_shell else saved.command_type,
            windows_text="" if is_shell else saved.text,
            author_name=saved.owner.username if saved.owner else "",
            created_at=saved.updated_at,
        )
        saved.save(update_fields=["latest"])


class Migration(migrations.Migration):
    """Apart from the changes of tables: PostgreSQL does not take rows and columns in one transaction."""

    dependencies = [("console", "0010_saved_versions")]

    operations = [migrations.RunPython(give_each_a_first_version, migrations.RunPython.noop)]
