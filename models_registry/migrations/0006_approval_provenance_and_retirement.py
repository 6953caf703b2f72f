"""Where a version comes from, who approved it, when it retires; what an import waits in; tags; indexes for lists."""

import django.contrib.postgres.indexes
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("models_registry", "0005_served_again_after_suspension"),
        ("tenants", "0006_approval_by_tier"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="adapterversion",
            name="version_state_known",
        ),
        migrations.RemoveConstraint(
            model_name="adapterversion",
            name="version_numbered_when_ready",
        ),
        migrations.RemoveIndex(
            model_name="adapterversion",
            name="version_undecided",
        ),
        migrations.AddField(
            model_name="adapter",
            name="description",
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name="adapter",
            name="outside_approvals",
            field=models.CharField(
                choices=[
                    ("undo", "Undo it: only what is decided here counts"),
                    ("accept", "Take it over"),
                    ("release", "Take it over, and release what was approved"),
                ],
                default="undo",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="adapter",
            name="tags",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="adapterversion",
            name="approval",
            field=models.CharField(
                choices=[
                    ("not_required", "Not required"),
                    ("pending", "Waits for approval"),
                    ("approved", "Approved"),
                    ("rejected", "Not approved"),
                ],
                default="not_required",
                max_length=20,
            ),
        ),
        migrations.AddField(
            model_name="adapterversion",
            name="approval_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="adapterversion",
            name="approval_by",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name="adapterversion",
            name="approval_by_ref",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name="adapterversion",
            name="approval_policy",
            field=models.CharField(
                choices=[
                    ("none", "Not needed"),
                    ("required", "Somebody approves"),
                    ("four_eyes", "Somebody other than the uploader approves"),
                ],
                default="none",
                max_length=20,
            ),
        ),
        migrations.AddField(
            model_name="adapterversion",
            name="approval_reason",
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name="adapterversion",
            name="base_revision",
            field=models.CharField(blank=True, max_length=100),
        ),
        migrations.AddField(
            model_name="adapterversion",
            name="replacement",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="models_registry.adapterversion",
            ),
        ),
        migrations.AddField(
            model_name="adapterversion",
            name="retirement_reason",
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name="adapterversion",
            name="retirement_told",
            field=models.CharField(blank=True, max_length=10),
        ),
        migrations.AddField(
            model_name="adapterversion",
            name="retires_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="adapterversion",
            name="source_uri",
            field=models.CharField(blank=True, max_length=1024),
        ),
        migrations.AddField(
            model_name="adapterversion",
            name="training_job",
            field=models.CharField(blank=True, max_length=300),
        ),
        migrations.AddField(
            model_name="adapterversion",
            name="uploaded_by_ref",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AlterField(
            model_name="adapterversion",
            name="state",
            field=models.CharField(
                choices=[
                    ("uploading", "Uploading"),
                    ("importing", "Importing"),
                    ("validating", "Validating"),
                    ("ready", "Ready"),
                    ("rejected", "Rejected"),
                    ("archived", "Archived"),
                ],
                default="uploading",
                max_length=20,
            ),
        ),
        migrations.AddIndex(
            model_name="adapter",
            index=models.Index(fields=["tenant", "-id"], name="adapter_by_tenant"),
        ),
        migrations.AddIndex(
            model_name="adapter",
            index=models.Index(fields=["foundation_model", "-id"], name="adapter_by_base"),
        ),
        migrations.AddIndex(
            model_name="adapter",
            index=django.contrib.postgres.indexes.GinIndex(
                fields=["tags"], name="adapter_by_tag", opclasses=["jsonb_path_ops"]
            ),
        ),
        migrations.AddIndex(
            model_name="adapterversion",
            index=models.Index(
                condition=models.Q(("state", "validating")), fields=["adapter"], name="version_being_checked"
            ),
        ),
        migrations.AddIndex(
            model_name="adapterversion",
            index=models.Index(fields=["adapter", "state", "-id"], name="version_by_state"),
        ),
        migrations.AddIndex(
            model_name="adapterversion",
            index=models.Index(
                condition=models.Q(("state__in", ["uploading", "importing", "validating"])),
                fields=["state"],
                name="version_undecided",
            ),
        ),
        migrations.AddIndex(
            model_name="adapterversion",
            index=models.Index(
                condition=models.Q(("retires_at__isnull", False)), fields=["retires_at"], name="version_retiring"
            ),
        ),
        migrations.AddConstraint(
            model_name="adapter",
            constraint=models.CheckConstraint(
                condition=models.Q(("outside_approvals__in", ["undo", "accept", "release"])),
                name="adapter_outside_approvals_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="adapterversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("state__in", ["uploading", "importing", "validating", "ready", "rejected", "archived"])
                ),
                name="version_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="adapterversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        models.Q(("sha256", ""), _negated=True),
                        models.Q(("artifact_key", ""), _negated=True),
                        ("number__isnull", False),
                        ("rank__isnull", False),
                        ("size_bytes__isnull", False),
                        ("state__in", ["ready", "archived"]),
                    ),
                    models.Q(
                        ("number__isnull", True), ("state__in", ("uploading", "importing", "validating", "rejected"))
                    ),
                    _connector="OR",
                ),
                name="version_numbered_when_ready",
            ),
        ),
        migrations.AddConstraint(
            model_name="adapterversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("approval__in", ["not_required", "pending", "approved", "rejected"])),
                name="version_approval_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="adapterversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("approval__in", ["pending", "not_required"]),
                    models.Q(models.Q(("approval_by_ref", ""), _negated=True), ("approval_at__isnull", False)),
                    _connector="OR",
                ),
                name="version_approval_by_somebody",
            ),
        ),
        migrations.AddConstraint(
            model_name="adapterversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("approval", "approved"), ("approval_policy", "four_eyes"), _negated=True),
                    models.Q(("approval_by_ref", models.F("uploaded_by_ref")), _negated=True),
                    _connector="OR",
                ),
                name="version_four_eyes",
            ),
        ),
        migrations.AddConstraint(
            model_name="adapterversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("replacement__isnull", True),
                    models.Q(("replacement", models.F("id")), _negated=True),
                    _connector="OR",
                ),
                name="version_replaced_by_another",
            ),
        ),
    ]
