from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [("console", "0011_first_versions")]

    operations = [
        migrations.RemoveField(model_name="savedcommand", name="command_type"),
        migrations.RemoveField(model_name="savedcommand", name="text"),
    ]
