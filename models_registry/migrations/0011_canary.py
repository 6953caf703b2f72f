"""Releases in steps: the plan never changes, and at any instant at most one canary of an adapter has a share."""

import django.contrib.postgres.fields
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
from django.db import migrations, models

from core.triggers import frozen_columns

# int8range instead of a plain column, because btree_gist is an extension and the schema must need none.
NO_OVERLAP = """
    ALTER TABLE models_registry_canaryinterval ADD CONSTRAINT canary_interval_no_overlap
        EXCLUDE USING gist (int8range(adapter_id, adapter_id, '[]') WITH =, during WITH &&);
    ALTER TABLE models_registry_canaryinterval ADD CONSTRAINT canary_interval_not_empty CHECK (NOT isempty(during));
    ALTER TABLE models_registry_canaryinterval ADD CONSTRAINT canary_interval_of_adapters_version
        FOREIGN KEY (adapter_id, version_id) REFERENCES models_registry_adapterversion (adapter_id, id)
        DEFERRABLE INITIALLY DEFERRED;
"""
UNDO = """
    ALTER TABLE models_registry_canaryinterval DROP CONSTRAINT canary_interval_of_adapters_version;
    ALTER TABLE models_registry_canaryinterval DROP CONSTRAINT canary_interval_not_empty;
    ALTER TABLE models_registry_canaryinterval DROP CONSTRAINT canary_interval_no_overlap;
"""
PLAN = ["release_id", "steps", "bake_minutes", "max_error_share", "max_latency_ratio", "min_requests"]


class Migration(migrations.Migration):
    dependencies = [
        ("models_registry", "0010_undecided_of_a_tenant"),
    ]

    operations = [
        migrations.CreateModel(
            name="CanaryInterval",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("percent", models.PositiveSmallIntegerField()),
                ("during", django.contrib.postgres.fields.ranges.DateTimeRangeField()),
                (
                    "adapter",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="canary_served",
                        to="models_registry.adapter",
                    ),
                ),
                (
                    "release",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="canary_served",
                        to="models_registry.release",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="canary_served",
                        to="models_registry.adapterversion",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Canary",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "steps",
                    django.contrib.postgres.fields.ArrayField(base_field=models.PositiveSmallIntegerField(), size=None),
                ),
                ("bake_minutes", models.PositiveSmallIntegerField()),
                ("max_error_share", models.DecimalField(decimal_places=4, max_digits=5)),
                ("max_latency_ratio", models.DecimalField(decimal_places=3, max_digits=6)),
                ("min_requests", models.PositiveIntegerField()),
                ("step", models.PositiveSmallIntegerField(default=0)),
                ("step_since", models.DateTimeField(null=True)),
                ("paused_at", models.DateTimeField(null=True)),
                ("paused_by", models.CharField(blank=True, max_length=200)),
                ("seen", models.JSONField(default=dict)),
                ("looked_at", models.DateTimeField(null=True)),
                (
                    "release",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="canary", to="models_registry.release"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("steps__len__gte", 1), ("steps__len__lte", 10)), name="canary_has_steps"
                    ),
                    models.CheckConstraint(condition=models.Q(("bake_minutes__gte", 1)), name="canary_bakes"),
                ],
            },
        ),
        migrations.RunSQL(NO_OVERLAP, UNDO),
        frozen_columns("models_registry_canary", PLAN),
    ]
