"""The sweep finds what still lies in quarantine without reading every version."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("models_registry", "0003_served_intervals_never_overlap"),
        ("tenants", "0002_assignments_never_overlap"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="adapterversion",
            index=models.Index(
                condition=models.Q(("quarantine_cleared_at__isnull", True)), fields=["id"], name="version_in_quarantine"
            ),
        ),
    ]
