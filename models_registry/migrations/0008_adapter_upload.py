"""Uploads that clients send to the bucket in parts."""

import core.clock
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("models_registry", "0007_provenance_is_final"),
    ]

    operations = [
        migrations.CreateModel(
            name="AdapterUpload",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                ("part_bytes", models.PositiveIntegerField()),
                ("storage_ids", models.JSONField(default=list)),
                ("expires_at", models.DateTimeField(db_index=True)),
                (
                    "version",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="upload",
                        to="models_registry.adapterversion",
                    ),
                ),
            ],
            options={
                "verbose_name": "adapter upload",
            },
        ),
    ]
