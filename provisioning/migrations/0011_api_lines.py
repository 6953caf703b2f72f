"""Lines of kind api, allowances and routing policies per tier version, tenants' choices, licences they accepted."""

import core.clock
import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("models_registry", "0009_waiting_for_approval"),
        ("provisioning", "0010_certificates_and_bulk"),
        ("tenants", "0006_approval_by_tier"),
    ]

    operations = [
        migrations.CreateModel(
            name="EulaAcceptance",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                ("model_name", models.CharField(max_length=120)),
                ("eula_url", models.CharField(max_length=300)),
                ("accepted_by", models.CharField(max_length=200)),
                ("recorded_by", models.CharField(max_length=200)),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="LineChoice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "line_names",
                    django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=30), size=None),
                ),
                ("changed_at", models.DateTimeField(default=core.clock.now)),
                ("changed_by", models.CharField(max_length=200)),
            ],
        ),
        migrations.CreateModel(
            name="RoutingPolicy",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("breaker_failures", models.PositiveSmallIntegerField(default=5)),
                ("breaker_open_seconds", models.PositiveSmallIntegerField(default=30)),
                ("queue_seconds", models.PositiveSmallIntegerField(default=0)),
                ("tenant_chooses", models.BooleanField(default=False)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="servingline",
            name="serving_line_instances_in_order",
        ),
        migrations.AddField(
            model_name="servingline",
            name="capacity_tokens_per_minute",
            field=models.PositiveBigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="servingline",
            name="eula_url",
            field=models.CharField(blank=True, default="", max_length=300),
        ),
        migrations.AddField(
            model_name="servingline",
            name="model_id",
            field=models.CharField(blank=True, default="", max_length=120),
        ),
        migrations.AddField(
            model_name="servingline",
            name="price_basis",
            field=models.CharField(
                choices=[("instance_hours", "Instance hours"), ("tokens", "Tokens")],
                default="instance_hours",
                max_length=20,
            ),
        ),
        migrations.AddField(
            model_name="servingline",
            name="usd_per_million_input",
            field=models.DecimalField(decimal_places=6, max_digits=12, null=True),
        ),
        migrations.AddField(
            model_name="servingline",
            name="usd_per_million_output",
            field=models.DecimalField(decimal_places=6, max_digits=12, null=True),
        ),
        migrations.AddField(
            model_name="tierroute",
            name="allowance_tokens",
            field=models.PositiveBigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="tierroute",
            name="allowance_window",
            field=models.CharField(
                choices=[("minute", "Minute"), ("day", "Day"), ("month", "Month")], default="month", max_length=10
            ),
        ),
        migrations.AlterField(
            model_name="managedresource",
            name="kind",
            field=models.CharField(
                choices=[
                    ("model", "Model"),
                    ("endpoint_config", "Endpoint config"),
                    ("endpoint", "Endpoint"),
                    ("base_component", "Base component"),
                    ("adapter_component", "Adapter component"),
                    ("inference_profile", "Inference profile"),
                    ("model_package_group", "Model package group"),
                    ("model_package", "Model package"),
                ],
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="servingline",
            name="component_scope",
            field=models.CharField(
                choices=[("shared", "Shared"), ("tenant", "Each tenant its own")], default="tenant", max_length=10
            ),
        ),
        migrations.AlterField(
            model_name="servingline",
            name="copies",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AlterField(
            model_name="servingline",
            name="endpoint_scope",
            field=models.CharField(
                choices=[("shared", "Shared"), ("tenant", "Each tenant its own")], default="tenant", max_length=10
            ),
        ),
        migrations.AlterField(
            model_name="servingline",
            name="instance_count",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AlterField(
            model_name="servingline",
            name="instance_type",
            field=models.CharField(blank=True, default="", max_length=40),
        ),
        migrations.AlterField(
            model_name="servingline",
            name="kind",
            field=models.CharField(choices=[("hosted", "Hosted"), ("api", "API")], default="hosted", max_length=10),
        ),
        migrations.AlterField(
            model_name="servingline",
            name="max_instance_count",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AlterField(
            model_name="servingline",
            name="profile",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="lines",
                to="models_registry.servingprofile",
            ),
        ),
        migrations.AddConstraint(
            model_name="servingline",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("kind", "api"),
                    models.Q(("max_instance_count__gte", models.F("instance_count")), ("instance_count__gte", 1)),
                    _connector="OR",
                ),
                name="serving_line_instances_in_order",
            ),
        ),
        migrations.AddConstraint(
            model_name="servingline",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("kind", "hosted"),
                        ("model_id", ""),
                        ("price_basis", "instance_hours"),
                        ("profile__isnull", False),
                    ),
                    models.Q(
                        ("instance_count", 0),
                        ("kind", "api"),
                        ("price_basis", "tokens"),
                        ("profile__isnull", True),
                        models.Q(("model_id", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="serving_line_kind_complete",
            ),
        ),
        migrations.AddConstraint(
            model_name="tierroute",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("allowance_window__in", ["minute", "day", "month"]),
                    models.Q(("allowance_tokens__isnull", True), ("allowance_tokens__gte", 1), _connector="OR"),
                ),
                name="tier_route_allowance_known",
            ),
        ),
        migrations.AddField(
            model_name="eulaacceptance",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="eula_acceptances", to="tenants.tenant"
            ),
        ),
        migrations.AddField(
            model_name="linechoice",
            name="tenant",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="line_choice", to="tenants.tenant"
            ),
        ),
        migrations.AddField(
            model_name="routingpolicy",
            name="tier_version",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="routing_policy", to="tenants.tierversion"
            ),
        ),
        migrations.AddConstraint(
            model_name="eulaacceptance",
            constraint=models.UniqueConstraint(
                fields=("tenant", "model_name", "eula_url"), name="eula_acceptance_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="routingpolicy",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("breaker_failures__gte", 1), ("breaker_open_seconds__gte", 1), ("queue_seconds__lte", 30)
                ),
                name="routing_policy_in_range",
            ),
        ),
    ]
