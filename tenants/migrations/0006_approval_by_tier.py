"""Whether versions need somebody's approval before they serve, by tier version."""

from django.db import migrations, models

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
    "on_suspend",
    "retention_days",
]
BEFORE = frozen_columns("tenants_tierversion", PROMISES, when="OLD.published_at IS NOT NULL")
AFTER = frozen_columns("tenants_tierversion", [*PROMISES, "approval"], when="OLD.published_at IS NOT NULL")


class Migration(migrations.Migration):
    dependencies = [("tenants", "0005_allowed_regions")]

    operations = [
        migrations.AddField(
            model_name="tierversion",
            name="approval",
            field=models.CharField(
                choices=[
                    ("none", "Not needed"),
                    ("required", "Somebody approves"),
                    ("four_eyes", "Somebody other than the uploader approves"),
                ],
                default="none",
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="tierversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("approval__in", ["none", "required", "four_eyes"])),
                name="tier_version_approval_known",
            ),
        ),
        migrations.RunSQL(BEFORE.reverse_sql, BEFORE.sql),
        AFTER,
    ]
