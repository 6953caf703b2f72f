"""An endpoint may be switched off because its tenant has left; old deliveries are found by their time."""

import django.contrib.postgres.indexes
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0004_webhook_walls"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="webhookendpoint",
            name="webhook_endpoint_disabled_whole",
        ),
        migrations.AlterField(
            model_name="webhookendpoint",
            name="disabled_reason",
            field=models.CharField(
                blank=True,
                choices=[("by_hand", "By Hand"), ("gone", "Gone"), ("failing", "Failing"), ("departed", "Departed")],
                max_length=10,
            ),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=django.contrib.postgres.indexes.BrinIndex(fields=["created_at"], name="webhook_delivery_by_time"),
        ),
        migrations.AddConstraint(
            model_name="webhookendpoint",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("disabled_at", None), ("disabled_reason", ""), ("state", "active")),
                    models.Q(
                        ("disabled_at__isnull", False),
                        ("disabled_reason__in", ["by_hand", "gone", "failing", "departed"]),
                        ("state", "disabled"),
                    ),
                    _connector="OR",
                ),
                name="webhook_endpoint_disabled_whole",
            ),
        ),
    ]
