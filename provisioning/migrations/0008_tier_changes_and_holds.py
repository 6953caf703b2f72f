"""A tier change as a row with its plan, its operation, and operations that can wait or be undone."""

import core.clock
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("provisioning", "0007_accounts"),
        ("tenants", "0004_promises_of_suspension_and_retention"),
    ]

    operations = [
        migrations.CreateModel(
            name="TierChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("preparing", "Making the new resources"),
                            ("cutting_over", "Moving traffic"),
                            ("removing", "Removing the old resources"),
                            ("returning", "Going back"),
                            ("done", "Done"),
                            ("returned", "Back on the old tier"),
                        ],
                        default="preparing",
                        max_length=20,
                    ),
                ),
                ("plan", models.JSONField(default=dict)),
                ("reason", models.TextField(blank=True)),
                ("detail", models.TextField(blank=True)),
                ("is_cancelled", models.BooleanField(default=False)),
                ("attempts", models.PositiveIntegerField(default=1)),
                ("requested_at", models.DateTimeField(default=core.clock.now)),
                ("prepared_at", models.DateTimeField(null=True)),
                ("cut_over_at", models.DateTimeField(null=True)),
                ("drain_until", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="operation",
            name="operation_state_known",
        ),
        migrations.AddField(
            model_name="operation",
            name="held_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="operation",
            name="held_by",
            field=models.CharField(blank=True, default="", max_length=200),
        ),
        migrations.AddField(
            model_name="operation",
            name="hold_reason",
            field=models.TextField(blank=True, default=""),
        ),
        migrations.AddField(
            model_name="operation",
            name="started_by",
            field=models.CharField(blank=True, default="", max_length=200),
        ),
        migrations.AddField(
            model_name="operationstep",
            name="attempts",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AlterField(
            model_name="operation",
            name="kind",
            field=models.CharField(
                choices=[
                    ("onboard", "Onboard"),
                    ("suspend", "Suspend"),
                    ("resume", "Resume"),
                    ("offboard", "Offboard"),
                    ("release", "Release"),
                    ("roll_back", "Roll back"),
                    ("withdraw", "Withdraw"),
                    ("change_tier", "Change tier"),
                ],
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="operation",
            name="state",
            field=models.CharField(
                choices=[
                    ("running", "Running"),
                    ("succeeded", "Succeeded"),
                    ("failed", "Failed"),
                    ("cancelled", "Cancelled"),
                    ("superseded", "Superseded"),
                ],
                default="running",
                max_length=20,
            ),
        ),
        migrations.AddField(
            model_name="tierchange",
            name="from_version",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.tierversion"
            ),
        ),
        migrations.AddField(
            model_name="tierchange",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="tier_changes", to="tenants.tenant"
            ),
        ),
        migrations.AddField(
            model_name="tierchange",
            name="to_version",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.tierversion"
            ),
        ),
        migrations.AddField(
            model_name="operation",
            name="tier_change",
            field=models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="operation",
                to="provisioning.tierchange",
            ),
        ),
        migrations.AddConstraint(
            model_name="operation",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["running", "succeeded", "failed", "cancelled", "superseded"])),
                name="operation_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="operation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "change_tier"), ("tier_change__isnull", False)),
                    models.Q(models.Q(("kind", "change_tier"), _negated=True), ("tier_change__isnull", True)),
                    _connector="OR",
                ),
                name="operation_tier_change_has_its_row",
            ),
        ),
        migrations.AddConstraint(
            model_name="tierchange",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("state__in", ["preparing", "cutting_over", "removing", "returning", "done", "returned"])
                ),
                name="tier_change_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="tierchange",
            constraint=models.CheckConstraint(
                condition=models.Q(("from_version", models.F("to_version")), _negated=True),
                name="tier_change_goes_somewhere",
            ),
        ),
        migrations.AddConstraint(
            model_name="tierchange",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["preparing", "cutting_over", "removing", "returning"])),
                fields=("tenant",),
                name="tier_change_one_open",
            ),
        ),
    ]
