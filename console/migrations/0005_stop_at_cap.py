from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("console", "0004_retention")]

    operations = [migrations.AddField("run", "stop_at_cap", models.BooleanField(default=False))]
