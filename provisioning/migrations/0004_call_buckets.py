"""Token buckets for calls that change AWS."""

import core.clock
from django.db import migrations, models


class Migration(migrations.Migration):
    """One row per account, region and operation."""

    dependencies = [("provisioning", "0003_attempts")]

    operations = [
        migrations.CreateModel(
            name="CallBucket",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("account", models.CharField(max_length=12)),
                ("region", models.CharField(max_length=20)),
                ("operation", models.CharField(max_length=40)),
                ("tokens", models.FloatField()),
                ("refilled_at", models.DateTimeField(default=core.clock.real_now)),
                ("version", models.PositiveBigIntegerField(default=0)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("account", "region", "operation"), name="call_bucket_unique"),
                    models.CheckConstraint(condition=models.Q(("tokens__gte", 0)), name="call_bucket_never_owes"),
                ],
            },
        ),
    ]
