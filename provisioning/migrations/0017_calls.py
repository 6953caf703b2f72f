"""What AWS was asked about each resource and what it said; the catalogue's table of host memory."""

import django.db.models.deletion
from django.db import migrations, models

import core.clock


class Migration(migrations.Migration):
    dependencies = [("provisioning", "0016_looks")]

    operations = [
        migrations.AlterField(
            model_name="cataloguerow",
            name="table",
            field=models.CharField(
                choices=[
                    ("instances", "instances"),
                    ("host_memory", "host_memory"),
                    ("savings_plans", "savings_plans"),
                    ("api_prices", "api_prices"),
                ],
                max_length=20,
            ),
        ),
        migrations.CreateModel(
            name="ResourceCall",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("operation", models.CharField(max_length=60)),
                ("said", models.TextField(blank=True)),
                ("said_digest", models.CharField(max_length=32)),
                ("request_id", models.CharField(blank=True, max_length=100)),
                ("times", models.PositiveIntegerField(default=1)),
                ("first_at", models.DateTimeField(default=core.clock.now)),
                ("at", models.DateTimeField(default=core.clock.now)),
                (
                    "resource",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="calls",
                        to="provisioning.managedresource",
                    ),
                ),
            ],
            options={
                "ordering": ["-at", "-id"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("resource", "operation", "said_digest"), name="resource_call_once_per_answer"
                    )
                ],
            },
        ),
    ]
