"""Configs that were refused or rolled back, and people's orders to circuit breakers."""

import core.clock
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("provisioning", "0011_api_lines")]

    operations = [
        migrations.CreateModel(
            name="BreakerOrder",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("route", models.CharField(max_length=63)),
                ("line", models.CharField(max_length=30)),
                ("is_tripped", models.BooleanField(default=False)),
                ("resets", models.PositiveIntegerField(default=0)),
                ("reason", models.TextField(blank=True)),
                ("ordered_by", models.CharField(max_length=200)),
                ("ordered_at", models.DateTimeField(default=core.clock.now)),
            ],
        ),
        migrations.CreateModel(
            name="ConfigRefusal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("violations", models.JSONField()),
                ("what_to_do", models.TextField(blank=True, default="")),
                ("refused_at", models.DateTimeField(default=core.clock.now)),
            ],
        ),
        migrations.AddField(
            model_name="publishedconfig",
            name="instead_of",
            field=models.CharField(blank=True, default="", max_length=64),
        ),
        migrations.AddField(
            model_name="publishedconfig",
            name="reason",
            field=models.TextField(blank=True, default=""),
        ),
        migrations.AddField(
            model_name="publishedconfig",
            name="restores",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="restored_by",
                to="provisioning.publishedconfig",
            ),
        ),
        migrations.AddField(
            model_name="breakerorder",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="breaker_orders", to="tenants.tenant"
            ),
        ),
        migrations.AddField(
            model_name="configrefusal",
            name="tenant",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="config_refusal", to="tenants.tenant"
            ),
        ),
        migrations.AddConstraint(
            model_name="breakerorder",
            constraint=models.UniqueConstraint(
                fields=("tenant", "route", "line"), name="breaker_order_one_per_line_of_a_route"
            ),
        ),
    ]
