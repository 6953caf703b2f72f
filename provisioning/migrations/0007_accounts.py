"""AWS accounts beside our own, what was proved about them, and copies of artifacts there; one more reason to be stuck."""

import core.clock
import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

from core.triggers import append_only


class Migration(migrations.Migration):
    dependencies = [
        ("models_registry", "0005_served_again_after_suspension"),
        ("provisioning", "0006_step_times"),
        ("tenants", "0005_allowed_regions"),
    ]

    operations = [
        migrations.CreateModel(
            name="AccountProof",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(default=core.clock.now)),
                (
                    "check_key",
                    models.CharField(
                        choices=[
                            ("without_external_id", "Without the external id the role must be refused"),
                            ("wrong_external_id", "With another external id the role must be refused"),
                            ("right_external_id", "With our external id the role must be granted"),
                            ("landed", "The role must land in the account that was named"),
                        ],
                        max_length=30,
                    ),
                ),
                ("has_passed", models.BooleanField()),
                ("detail", models.TextField()),
                ("request_id", models.CharField(blank=True, max_length=100)),
                ("by", models.CharField(max_length=200)),
            ],
            options={
                "ordering": ["-at", "id"],
            },
        ),
        migrations.CreateModel(
            name="ArtifactCopy",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("account", models.CharField(max_length=12)),
                ("region", models.CharField(max_length=20)),
                ("url", models.CharField(max_length=1200)),
                ("copied_at", models.DateTimeField(default=core.clock.now)),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="AwsAccount",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("split", "The tenant's own account"),
                            ("dedicated", "An account of ours for one tenant"),
                        ],
                        max_length=20,
                    ),
                ),
                ("account_id", models.CharField(max_length=12)),
                (
                    "regions",
                    django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=20), size=None),
                ),
                ("role_arn", models.CharField(max_length=200)),
                ("external_id", models.CharField(editable=False, max_length=64, unique=True)),
                ("execution_role_arn", models.CharField(max_length=200)),
                ("proven_at", models.DateTimeField(null=True)),
                ("access_lost_at", models.DateTimeField(null=True)),
                ("access_detail", models.TextField(blank=True)),
                ("closed_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="managedresource",
            name="resource_stuck_reason_known",
        ),
        migrations.AlterField(
            model_name="managedresource",
            name="stuck_reason",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", "Not stuck"),
                    ("quota", "Account quota reached"),
                    ("auth", "Access denied"),
                    ("access_lost", "Access to the account lost"),
                    ("conflict", "The name is taken by an object that is not ours"),
                    ("capacity", "No capacity in AWS"),
                    ("terminal", "Refused or failed; a person is needed"),
                ],
                default="",
                max_length=20,
            ),
        ),
        migrations.AddConstraint(
            model_name="managedresource",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("stuck_reason__in", ["", "quota", "auth", "access_lost", "conflict", "capacity", "terminal"])
                ),
                name="resource_stuck_reason_known",
            ),
        ),
        migrations.AddField(
            model_name="artifactcopy",
            name="adapter_version",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="copies", to="models_registry.adapterversion"
            ),
        ),
        migrations.AddField(
            model_name="artifactcopy",
            name="tenant",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.tenant"),
        ),
        migrations.AddField(
            model_name="awsaccount",
            name="tenant",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="aws_accounts", to="tenants.tenant"
            ),
        ),
        migrations.AddField(
            model_name="accountproof",
            name="account",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="proofs", to="provisioning.awsaccount"
            ),
        ),
        migrations.AddConstraint(
            model_name="artifactcopy",
            constraint=models.UniqueConstraint(
                fields=("account", "region", "adapter_version"), name="artifact_copy_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="awsaccount",
            constraint=models.UniqueConstraint(
                condition=models.Q(("closed_at", None)), fields=("account_id",), name="aws_account_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="awsaccount",
            constraint=models.UniqueConstraint(
                condition=models.Q(("closed_at", None)),
                fields=("tenant", "kind"),
                name="aws_account_one_of_a_kind_per_tenant",
            ),
        ),
        migrations.AddConstraint(
            model_name="awsaccount",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("kind__in", ["split", "dedicated"]),
                    models.Q(("kind", "dedicated"), ("tenant__isnull", False), _connector="OR"),
                ),
                name="aws_account_known",
            ),
        ),
        migrations.AddIndex(
            model_name="accountproof",
            index=models.Index(fields=["account", "-at"], name="account_proof_by_account"),
        ),
        migrations.AddConstraint(
            model_name="accountproof",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("check_key__in", ["without_external_id", "wrong_external_id", "right_external_id", "landed"])
                ),
                name="account_proof_check_known",
            ),
        ),
        append_only("provisioning_accountproof"),
    ]
