"""Thresholds of token limits that were reached, and requests that were turned away."""

import core.clock
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("provisioning", "0012_config_refusals_and_orders"),
        ("tenants", "0006_approval_by_tier"),
    ]

    operations = [
        migrations.CreateModel(
            name="LimitAlert",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                ("meter", models.CharField(max_length=20)),
                ("window", models.CharField(max_length=10)),
                ("mode", models.CharField(max_length=10)),
                ("amount", models.PositiveBigIntegerField()),
                ("window_start", models.DateTimeField()),
                ("window_end", models.DateTimeField()),
                ("threshold_percent", models.PositiveSmallIntegerField()),
                ("used", models.PositiveBigIntegerField()),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="limit_alerts", to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [models.Index(fields=["window_end"], name="limit_alert_running")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "meter", "window", "window_start", "threshold_percent", "amount"),
                        name="limit_alert_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="TurnedAwayHour",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("line", models.CharField(blank=True, max_length=30)),
                ("hour", models.DateTimeField()),
                ("times", models.PositiveBigIntegerField()),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="turned_away_hours",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("hour", "tenant", "line"), name="turned_away_once_per_hour")
                ],
            },
        ),
    ]
