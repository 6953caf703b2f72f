"""Degrades that events tell of, and alerts over what tenants may use of a line."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("provisioning", "0014_copies_in_the_ledger"),
        ("tenants", "0006_approval_by_tier"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="limitalert", name="limit_alert_once"),
        migrations.AddField(
            model_name="limitalert", name="line", field=models.CharField(blank=True, default="", max_length=30)
        ),
        migrations.AddConstraint(
            model_name="limitalert",
            constraint=models.UniqueConstraint(
                fields=("tenant", "line", "meter", "window", "window_start", "threshold_percent", "amount"),
                name="limit_alert_once",
            ),
        ),
        migrations.CreateModel(
            name="DegradeReading",
            fields=[
                (
                    "tenant",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="degrade_reading",
                        serialize=False,
                        to="tenants.tenant",
                    ),
                ),
                ("mark", models.PositiveBigIntegerField()),
                ("read_until", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="DegradedMinute",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("route", models.CharField(max_length=63)),
                ("line", models.CharField(max_length=63)),
                ("to", models.CharField(max_length=63)),
                ("reason", models.CharField(max_length=63)),
                ("minute", models.DateTimeField()),
                ("times", models.PositiveBigIntegerField()),
                ("told", models.PositiveBigIntegerField(default=0)),
                ("told_at", models.DateTimeField(null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="degraded_minutes",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("told__lt", models.F("times"))),
                        fields=["id"],
                        name="degraded_minute_untold",
                    ),
                    models.Index(fields=["minute"], name="degraded_minute_by_time"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "minute", "route", "line", "to", "reason"), name="degraded_minute_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("told__lte", models.F("times"))), name="degraded_minute_told_what_was"
                    ),
                ],
            },
        ),
    ]
