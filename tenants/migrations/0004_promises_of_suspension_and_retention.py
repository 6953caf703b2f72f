"""What a suspension and a departure leave, by tier version; and legal holds."""

import django.db.models.deletion
from django.db import migrations, models

import core.clock
from core.triggers import frozen_columns

PROMISES = [
    "tier_id",
    "number",
    "isolation",
    "max_adapters",
    "max_adapter_bytes",
    "max_lora_rank",
    "keep_previous_warm",
    "warm_window_hours",
    "published_at",
]
BEFORE = frozen_columns("tenants_tierversion", PROMISES, when="OLD.published_at IS NOT NULL")
AFTER = frozen_columns(
    "tenants_tierversion", [*PROMISES, "on_suspend", "retention_days"], when="OLD.published_at IS NOT NULL"
)


class Migration(migrations.Migration):
    dependencies = [("tenants", "0003_token_limits")]

    operations = [
        migrations.AddField(model_name="tenant", name="retain_until", field=models.DateTimeField(null=True)),
        migrations.AddField(
            model_name="tierversion",
            name="on_suspend",
            field=models.CharField(
                choices=[("keep", "Keep its resources"), ("remove", "Remove its resources")],
                default="keep",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="tierversion", name="retention_days", field=models.PositiveIntegerField(default=0)
        ),
        migrations.AlterField(
            model_name="tierversion",
            name="isolation",
            field=models.CharField(
                choices=[
                    ("pool", "Pool"),
                    ("split", "The tenant's own account"),
                    ("dedicated", "An account of ours for the tenant alone"),
                ],
                default="pool",
                max_length=20,
            ),
        ),
        migrations.AddConstraint(
            model_name="tierversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("isolation__in", ["pool", "split", "dedicated"]), ("on_suspend__in", ["keep", "remove"])
                ),
                name="tier_version_words_known",
            ),
        ),
        migrations.RunSQL(BEFORE.reverse_sql, BEFORE.sql),
        AFTER,
        migrations.CreateModel(
            name="LegalHold",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                ("reason", models.TextField()),
                ("placed_at", models.DateTimeField(default=core.clock.now)),
                ("placed_by", models.CharField(max_length=200)),
                ("released_at", models.DateTimeField(null=True)),
                ("released_by", models.CharField(blank=True, max_length=200)),
                ("release_reason", models.TextField(blank=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="legal_holds", to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("released_at", None)),
                        fields=("tenant",),
                        name="legal_hold_one_in_force",
                    )
                ],
            },
        ),
    ]
