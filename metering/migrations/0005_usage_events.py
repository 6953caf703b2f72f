"""Usage that others report; one table for the ids of all time, in parts by their hash."""

import core.clock
import django.db.models.deletion
from django.db import migrations, models

from core.triggers import append_only

PARTS = 16
EVENTS = """
CREATE TABLE metering_usageevent (
    tenant_id bigint NOT NULL, series_id bigint NOT NULL, batch_id bigint NOT NULL, occurred_at timestamptz NOT NULL,
    quantity bigint NOT NULL CONSTRAINT usage_event_quantity CHECK (quantity > 0), event_id varchar(64) NOT NULL,
    PRIMARY KEY (tenant_id, event_id)
) PARTITION BY HASH (tenant_id, event_id);
""" + "".join(
    f"CREATE TABLE metering_usageevent_{part:02d} PARTITION OF metering_usageevent "
    f"FOR VALUES WITH (MODULUS {PARTS}, REMAINDER {part});\n"
    for part in range(PARTS)
)


class Migration(migrations.Migration):
    dependencies = [
        ("metering", "0004_usage_by_month"),
        ("tenants", "0005_allowed_regions"),
    ]

    operations = [
        migrations.CreateModel(
            name="UsageBatch",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                ("reported_by", models.CharField(max_length=200)),
                ("reported_by_ref", models.CharField(max_length=200)),
                ("request_id", models.CharField(blank=True, max_length=100)),
                ("accepted", models.PositiveIntegerField()),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(EVENTS, "DROP TABLE metering_usageevent")],
            state_operations=[
                migrations.CreateModel(
                    name="UsageEvent",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "tenant_id", "event_id", blank=True, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("tenant_id", models.BigIntegerField()),
                        ("event_id", models.CharField(max_length=64)),
                        ("series_id", models.BigIntegerField()),
                        ("batch_id", models.BigIntegerField()),
                        ("occurred_at", models.DateTimeField()),
                        ("quantity", models.BigIntegerField()),
                    ],
                )
            ],
        ),
        append_only("metering_usageevent"),
        migrations.CreateModel(
            name="UsageSeries",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "meter",
                    models.CharField(
                        choices=[
                            ("input_tokens", "Input tokens"),
                            ("output_tokens", "Output tokens"),
                            ("requests", "Requests"),
                            ("endpoint_seconds", "Endpoint time"),
                            ("copy_seconds", "Model copy time"),
                            ("adapter_seconds", "Adapter time"),
                            ("stored_byte_hours", "Stored adapters"),
                        ],
                        max_length=30,
                    ),
                ),
                ("line", models.CharField(max_length=30)),
                ("adapter_version", models.CharField(max_length=40)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="usage_series",
                        to="tenants.tenant",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="EventDelta",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("quarter", models.DateTimeField()),
                ("quantity", models.DecimalField(decimal_places=0, max_digits=38)),
                (
                    "series",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="metering.usageseries",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="usageseries",
            constraint=models.UniqueConstraint(
                fields=("tenant", "meter", "line", "adapter_version"), name="usage_series_unique"
            ),
        ),
    ]
