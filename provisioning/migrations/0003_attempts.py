"""Counts passes that were begun and did not end, so that a row that kills its workers is found."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """One counter beside the lease."""

    dependencies = [("provisioning", "0002_planner")]

    operations = [
        migrations.AddField("managedresource", "attempts", models.PositiveIntegerField(default=0)),
    ]
