"""A release may serve more than once: before a suspension and after it."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("models_registry", "0004_version_in_quarantine")]

    operations = [
        migrations.AlterField(
            model_name="servedinterval",
            name="release",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="served", to="models_registry.release"
            ),
        ),
    ]
