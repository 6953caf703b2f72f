"""Exports: files over many rows, made in the background."""

import core.clock
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0008_rate_card_version"),
        ("tenants", "0006_approval_by_tier"),
    ]

    operations = [
        migrations.CreateModel(
            name="Export",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                (
                    "dataset",
                    models.CharField(
                        choices=[
                            ("invoices", "Invoices"),
                            ("invoice-lines", "Invoice lines"),
                            ("focus-1.2", "FOCUS 1.2"),
                            ("usage", "Usage by day"),
                            ("events", "Audit trail"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "format",
                    models.CharField(choices=[("csv", "CSV"), ("xlsx", "XLSX"), ("jsonl", "JSON lines")], max_length=8),
                ),
                ("period_start", models.DateTimeField()),
                ("period_end", models.DateTimeField()),
                ("invoice_states", models.JSONField(default=list)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                            ("expired", "Expired"),
                        ],
                        default="queued",
                        max_length=10,
                    ),
                ),
                ("actor_kind", models.CharField(max_length=10)),
                ("actor_ref", models.CharField(max_length=200)),
                ("actor_name", models.CharField(max_length=200)),
                ("progress_done", models.PositiveBigIntegerField(default=0)),
                ("progress_total", models.PositiveBigIntegerField(default=0)),
                ("row_count", models.PositiveBigIntegerField(default=0)),
                ("control_totals", models.JSONField(default=dict)),
                ("size_bytes", models.PositiveBigIntegerField(default=0)),
                ("sha256", models.CharField(blank=True, max_length=64)),
                ("artifact_key", models.CharField(blank=True, max_length=200)),
                ("problem", models.TextField(blank=True)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("fence", models.PositiveBigIntegerField(default=0)),
                ("lease_until", models.DateTimeField(null=True)),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="exports",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("state__in", ["queued", "running"])), fields=["id"], name="export_waiting"
                    ),
                    models.Index(condition=models.Q(("state", "done")), fields=["expires_at"], name="export_kept"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["queued", "running", "done", "failed", "expired"])),
                        name="export_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("period_end__gt", models.F("period_start"))), name="export_period_forward"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "done"), _negated=True),
                            models.Q(("artifact_key", ""), ("sha256", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="export_done_has_file",
                    ),
                ],
            },
        ),
    ]
