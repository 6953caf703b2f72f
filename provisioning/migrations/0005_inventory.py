"""What inventories of AWS found, kept."""

import core.clock
import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("provisioning", "0004_call_buckets"),
        ("tenants", "0002_assignments_never_overlap"),
    ]

    operations = [
        migrations.CreateModel(
            name="InventoryLook",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("account", models.CharField(max_length=12, unique=True)),
                ("at", models.DateTimeField()),
                ("counts", models.JSONField(default=dict)),
            ],
        ),
        migrations.CreateModel(
            name="InventoryFinding",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[("orphan", "Orphan"), ("missing", "Missing"), ("drift", "Drift"), ("stuck", "Stuck")],
                        max_length=10,
                    ),
                ),
                ("account", models.CharField(max_length=12)),
                ("region", models.CharField(max_length=20)),
                ("aws_kind", models.CharField(max_length=20)),
                ("name", models.CharField(max_length=63)),
                ("arn", models.CharField(blank=True, max_length=200)),
                ("tags", models.JSONField(default=dict)),
                (
                    "needs",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=63), default=list, size=None
                    ),
                ),
                ("detail", models.TextField(blank=True)),
                ("before", models.JSONField(default=dict)),
                ("after", models.JSONField(default=dict)),
                ("usd_per_hour", models.DecimalField(decimal_places=4, max_digits=12, null=True)),
                ("first_seen_at", models.DateTimeField(default=core.clock.real_now)),
                ("last_seen_at", models.DateTimeField(default=core.clock.real_now)),
                ("sightings", models.PositiveIntegerField(default=1)),
                ("resolved_at", models.DateTimeField(null=True)),
                ("ignored_reason", models.TextField(blank=True)),
                ("ignored_by", models.CharField(blank=True, max_length=200)),
                (
                    "resource",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="findings",
                        to="provisioning.managedresource",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("resolved_at", None)),
                        fields=("kind", "account", "region", "aws_kind", "name"),
                        name="finding_one_open_of_a_kind",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["orphan", "missing", "drift", "stuck"])),
                        name="finding_kind_known",
                    ),
                ],
            },
        ),
    ]
