"""Replies kept so that a repeated request is answered and not done again."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="IdempotentRequest",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("principal", models.CharField(max_length=40)),
                ("method", models.CharField(max_length=10)),
                ("path", models.CharField(max_length=700)),
                ("key", models.CharField(max_length=255)),
                ("fingerprint", models.CharField(max_length=64)),
                ("attempt", models.CharField(max_length=32)),
                ("leased_until", models.DateTimeField()),
                ("expires_at", models.DateTimeField(db_index=True)),
                ("status", models.PositiveSmallIntegerField(null=True)),
                ("headers", models.JSONField(null=True)),
                ("body", models.TextField(null=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("principal", "method", "path", "key"), name="idempotent_request_unique"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("body__isnull", True), ("headers__isnull", True), ("status__isnull", True)),
                            models.Q(("body__isnull", False), ("headers__isnull", False), ("status__isnull", False)),
                            _connector="OR",
                        ),
                        name="idempotent_reply_whole",
                    ),
                ],
            },
        ),
    ]
