"""What proves a deletion and never changes; and one deed for many tenants with what became of each."""

import core.clock
import django.db.models.deletion
from django.db import migrations, models

from core.triggers import append_only


class Migration(migrations.Migration):
    dependencies = [
        ("provisioning", "0009_model_packages"),
        ("tenants", "0006_approval_by_tier"),
    ]

    operations = [
        migrations.CreateModel(
            name="BulkOperation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[("change_tier", "Change tier"), ("suspend", "Suspend"), ("resume", "Resume")],
                        max_length=20,
                    ),
                ),
                ("reason", models.TextField(blank=True)),
                ("started_by", models.CharField(max_length=200)),
                ("actor", models.JSONField()),
                ("started_at", models.DateTimeField(default=core.clock.now)),
                ("finished_at", models.DateTimeField(null=True)),
                (
                    "tier_version",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tierversion",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="BulkItem",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("working", "Under way"),
                            ("done", "Done"),
                            ("skipped", "Nothing to do"),
                            ("failed", "Failed"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("code", models.CharField(blank=True, max_length=60)),
                ("detail", models.TextField(blank=True)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "operation",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="provisioning.operation",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.tenant"
                    ),
                ),
                (
                    "bulk",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="items",
                        to="provisioning.bulkoperation",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="DeletionCertificate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                ("number", models.PositiveIntegerField()),
                ("content", models.JSONField()),
                ("content_sha256", models.CharField(max_length=64)),
                ("pdf", models.BinaryField()),
                ("pdf_sha256", models.CharField(max_length=64)),
                ("is_clean", models.BooleanField()),
                ("issued_at", models.DateTimeField(default=core.clock.now)),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="deletion_certificates",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.AddConstraint(
            model_name="bulkoperation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "change_tier"), ("tier_version__isnull", False)),
                    models.Q(("kind__in", ["suspend", "resume"]), ("tier_version__isnull", True)),
                    _connector="OR",
                ),
                name="bulk_operation_kind_known",
            ),
        ),
        migrations.AddIndex(
            model_name="bulkitem",
            index=models.Index(fields=["bulk", "state"], name="bulk_item_by_state"),
        ),
        migrations.AddConstraint(
            model_name="bulkitem",
            constraint=models.UniqueConstraint(fields=("bulk", "tenant"), name="bulk_item_once_per_tenant"),
        ),
        migrations.AddConstraint(
            model_name="bulkitem",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["waiting", "working", "done", "skipped", "failed"])),
                name="bulk_item_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="deletioncertificate",
            constraint=models.UniqueConstraint(fields=("tenant", "number"), name="deletion_certificate_number_unique"),
        ),
        migrations.AddConstraint(
            model_name="deletioncertificate",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_clean", True)), fields=("tenant",), name="deletion_certificate_one_clean"
            ),
        ),
        append_only("provisioning_deletioncertificate"),
    ]
