"""A scope reads one account and region, so that the outage of one holds up no other."""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("metering", "0006_gaps_and_alarms"),
        ("tenants", "0005_allowed_regions"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="enrolment",
            name="enrolment_unique",
        ),
        migrations.RemoveConstraint(
            model_name="enrolment",
            name="enrolment_one_open",
        ),
        migrations.AddField(
            model_name="enrolment",
            name="account",
            field=models.CharField(blank=True, default="", max_length=12),
        ),
        migrations.AddField(
            model_name="enrolment",
            name="region",
            field=models.CharField(default=settings.ENV.aws_region, max_length=20),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="meteringscope",
            name="account",
            field=models.CharField(blank=True, default="", max_length=12),
        ),
        migrations.AddField(
            model_name="meteringscope",
            name="region",
            field=models.CharField(default=settings.ENV.aws_region, max_length=20),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name="meteringscope",
            name="key",
            field=models.CharField(max_length=60, unique=True),
        ),
        migrations.AddConstraint(
            model_name="enrolment",
            constraint=models.UniqueConstraint(
                fields=("tenant", "account", "region", "starts_at"), name="enrolment_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="enrolment",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ends_at__isnull", True)),
                fields=("tenant", "account", "region"),
                name="enrolment_one_open",
            ),
        ),
    ]
