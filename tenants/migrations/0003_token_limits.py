"""Token limits of tier versions; those of a published version can be neither added, changed nor removed."""

import django.db.models.deletion
from django.db import migrations, models

FROZEN = """
    CREATE FUNCTION tenants_tierlimit_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (
            SELECT FROM tenants_tierversion
            WHERE published_at IS NOT NULL
              AND (TG_OP <> 'INSERT' AND id = OLD.tier_version_id OR TG_OP <> 'DELETE' AND id = NEW.tier_version_id)
        ) THEN
            RAISE EXCEPTION 'the limits of a published tier version are final' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END $$;
    CREATE TRIGGER tenants_tierlimit_frozen BEFORE INSERT OR UPDATE OR DELETE ON tenants_tierlimit
        FOR EACH ROW EXECUTE FUNCTION tenants_tierlimit_frozen();
"""
THAWED = "DROP TRIGGER tenants_tierlimit_frozen ON tenants_tierlimit; DROP FUNCTION tenants_tierlimit_frozen();"


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0002_assignments_never_overlap"),
    ]

    operations = [
        migrations.CreateModel(
            name="TierLimit",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "meter",
                    models.CharField(
                        choices=[
                            ("input_tokens", "Input tokens"),
                            ("output_tokens", "Output tokens"),
                            ("total_tokens", "Tokens in and out"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "window",
                    models.CharField(choices=[("minute", "Minute"), ("day", "Day"), ("month", "Month")], max_length=10),
                ),
                ("amount", models.PositiveBigIntegerField()),
                (
                    "mode",
                    models.CharField(choices=[("hard", "Hard"), ("soft", "Soft"), ("shadow", "Shadow")], max_length=10),
                ),
                (
                    "tier_version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="token_limits",
                        to="tenants.tierversion",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "constraints": [
                    models.UniqueConstraint(fields=("tier_version", "meter", "window"), name="tier_limit_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("amount__gte", 1),
                            ("meter__in", ["input_tokens", "output_tokens", "total_tokens"]),
                            ("mode__in", ["hard", "soft", "shadow"]),
                            ("window__in", ["minute", "day", "month"]),
                        ),
                        name="tier_limit_known",
                    ),
                ],
            },
        ),
        migrations.RunSQL(FROZEN, THAWED),
    ]
