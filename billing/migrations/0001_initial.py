"""Issuers, taxes, rate cards, invoices with their lines, numbers and documents."""

import django.contrib.postgres.fields.ranges
import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models

import core.clock


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenants", "0002_assignments_never_overlap"),
    ]

    operations = [
        migrations.CreateModel(
            name="Issuer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                ("key", models.SlugField(max_length=30, unique=True)),
                ("name", models.CharField(max_length=120)),
                ("address", models.TextField()),
                ("email", models.EmailField(blank=True, max_length=254)),
                ("registration_number", models.CharField(blank=True, max_length=20)),
                ("payment_details", models.TextField(blank=True)),
                ("payment_days", models.PositiveSmallIntegerField(default=30)),
                ("number_prefix", models.CharField(default="INV", max_length=10)),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Rate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveSmallIntegerField()),
                ("key", models.SlugField(max_length=40)),
                ("meter", models.CharField(blank=True, max_length=40)),
                ("model", models.CharField(max_length=30)),
                ("parameters", models.JSONField()),
                ("description", models.CharField(max_length=120)),
                ("description_ja", models.CharField(blank=True, max_length=120)),
            ],
            options={
                "ordering": ["card_id", "position"],
            },
        ),
        migrations.CreateModel(
            name="Invoice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[("invoice", "Invoice"), ("credit_note", "Credit note"), ("debit_note", "Debit note")],
                        default="invoice",
                        max_length=12,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("draft", "Draft"), ("finalized", "Finalized"), ("paid", "Paid"), ("void", "Void")],
                        default="draft",
                        max_length=10,
                    ),
                ),
                ("version", models.PositiveIntegerField(default=1)),
                ("number", models.CharField(max_length=40, null=True)),
                ("currency", models.CharField(max_length=3)),
                ("period_start", models.DateTimeField()),
                ("period_end", models.DateTimeField()),
                ("timezone", models.CharField(max_length=60)),
                ("language", models.CharField(max_length=2)),
                ("subtotal", models.DecimalField(decimal_places=3, max_digits=38)),
                ("tax", models.DecimalField(decimal_places=3, max_digits=38)),
                ("total", models.DecimalField(decimal_places=3, max_digits=38)),
                ("taxes", models.JSONField(default=list)),
                ("seller", models.JSONField(default=dict)),
                ("buyer", models.JSONField(default=dict)),
                ("reason", models.TextField(blank=True)),
                ("uncharged", models.JSONField(default=dict)),
                ("content_sha256", models.CharField(max_length=64)),
                ("refreshed_at", models.DateTimeField()),
                ("grace_until", models.DateTimeField(null=True)),
                ("finalized_at", models.DateTimeField(null=True)),
                ("due_on", models.DateField(null=True)),
                ("paid_at", models.DateTimeField(null=True)),
                ("payment_reference", models.CharField(blank=True, max_length=120)),
                ("voided_at", models.DateTimeField(null=True)),
                ("void_reason", models.TextField(blank=True)),
                (
                    "corrects",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="notes",
                        to="billing.invoice",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="invoices", to="tenants.tenant"
                    ),
                ),
                (
                    "issuer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="invoices", to="billing.issuer"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="InvoiceLine",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                ("position", models.PositiveIntegerField()),
                ("description", models.CharField(max_length=120)),
                ("description_ja", models.CharField(blank=True, max_length=120)),
                ("meter", models.CharField(blank=True, max_length=40)),
                ("span_start", models.DateTimeField()),
                ("span_end", models.DateTimeField()),
                ("quantity", models.DecimalField(decimal_places=4, max_digits=42)),
                ("unit", models.CharField(max_length=20)),
                ("unit_price", models.DecimalField(decimal_places=12, max_digits=25, null=True)),
                ("per", models.PositiveIntegerField()),
                ("amount", models.DecimalField(decimal_places=3, max_digits=38)),
                ("tax_rate", models.DecimalField(decimal_places=6, max_digits=7)),
                ("explanation", models.JSONField()),
                (
                    "corrects_line",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="corrections",
                        to="billing.invoiceline",
                    ),
                ),
                (
                    "invoice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="lines", to="billing.invoice"
                    ),
                ),
                (
                    "rate",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="billing.rate"
                    ),
                ),
            ],
            options={
                "ordering": ["invoice_id", "position"],
            },
        ),
        migrations.CreateModel(
            name="RateCard",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                ("name", models.CharField(max_length=60)),
                ("number", models.PositiveIntegerField()),
                ("currency", models.CharField(max_length=3)),
                (
                    "state",
                    models.CharField(
                        choices=[("draft", "Draft"), ("published", "Published")], default="draft", max_length=10
                    ),
                ),
                ("published_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["name", "currency", "number"],
                "constraints": [
                    models.UniqueConstraint(fields=("name", "currency", "number"), name="rate_card_number_unique"),
                    models.UniqueConstraint(fields=("id", "currency"), name="rate_card_currency_target"),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["draft", "published"])), name="rate_card_state_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("published_at", None), ("state", "draft")),
                            models.Q(("published_at__isnull", False), ("state", "published")),
                            _connector="OR",
                        ),
                        name="rate_card_published_stamp",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="rate",
            name="card",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="rates", to="billing.ratecard"
            ),
        ),
        migrations.CreateModel(
            name="TaxRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("currency", models.CharField(max_length=3)),
                ("name", models.CharField(max_length=60)),
                ("name_ja", models.CharField(blank=True, max_length=60)),
                ("rate", models.DecimalField(decimal_places=6, max_digits=7)),
                (
                    "rounding",
                    models.CharField(
                        choices=[("half_up", "Half up"), ("down", "Down"), ("up", "Up")],
                        default="half_up",
                        max_length=10,
                    ),
                ),
                ("effective", django.contrib.postgres.fields.ranges.DateTimeRangeField()),
                (
                    "issuer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="tax_rules", to="billing.issuer"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="TierPrice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                ("currency", models.CharField(max_length=3)),
                ("effective", django.contrib.postgres.fields.ranges.DateTimeRangeField()),
                (
                    "rate_card",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="tier_prices", to="billing.ratecard"
                    ),
                ),
                (
                    "tier_version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="prices", to="tenants.tierversion"
                    ),
                ),
            ],
            options={
                "ordering": ["tier_version_id", "currency", "effective"],
            },
        ),
        migrations.CreateModel(
            name="InvoiceDocument",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("format", models.CharField(choices=[("pdf", "PDF"), ("csv", "CSV")], max_length=3)),
                ("language", models.CharField(max_length=2)),
                ("sha256", models.CharField(max_length=64)),
                ("body", models.BinaryField()),
                ("created_at", models.DateTimeField()),
                (
                    "invoice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="documents", to="billing.invoice"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("invoice", "format", "language"), name="invoice_document_unique")
                ],
            },
        ),
        migrations.CreateModel(
            name="InvoiceSequence",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("series", models.CharField(max_length=10)),
                ("year", models.PositiveSmallIntegerField()),
                ("last_number", models.PositiveIntegerField()),
                (
                    "issuer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="sequences", to="billing.issuer"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("issuer", "series", "year"), name="invoice_sequence_unique")
                ],
            },
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(fields=["tenant", "-period_start"], name="invoice_by_tenant"),
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(fields=["state", "-id"], name="invoice_by_state"),
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(
                condition=models.Q(("state", "draft")), fields=["grace_until"], name="invoice_draft_due"
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.UniqueConstraint(fields=("issuer", "number"), name="invoice_number_unique"),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["invoice", "credit_note", "debit_note"])), name="invoice_kind_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["draft", "finalized", "paid", "void"])), name="invoice_state_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(("period_end__gt", models.F("period_start"))), name="invoice_period_forward"
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "total",
                        django.db.models.expressions.CombinedExpression(models.F("subtotal"), "+", models.F("tax")),
                    )
                ),
                name="invoice_total_adds_up",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("finalized_at", None), ("number", None), ("state", "draft")),
                    models.Q(
                        models.Q(("state", "draft"), _negated=True),
                        ("finalized_at__isnull", False),
                        ("number__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="invoice_final_has_number",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("corrects", None), ("kind", "invoice")),
                    models.Q(models.Q(("kind", "invoice"), _negated=True), ("corrects__isnull", False)),
                    _connector="OR",
                ),
                name="invoice_note_corrects",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("paid_at__isnull", False), ("state", "paid")),
                    models.Q(models.Q(("state", "paid"), _negated=True), ("paid_at", None)),
                    _connector="OR",
                ),
                name="invoice_paid_stamp",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "void"), ("voided_at__isnull", False)),
                    models.Q(models.Q(("state", "void"), _negated=True), ("voided_at", None)),
                    _connector="OR",
                ),
                name="invoice_void_stamp",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoiceline",
            constraint=models.UniqueConstraint(fields=("invoice", "position"), name="invoice_line_position_unique"),
        ),
        migrations.AddConstraint(
            model_name="rate",
            constraint=models.UniqueConstraint(fields=("card", "key"), name="rate_key_unique"),
        ),
        migrations.AddConstraint(
            model_name="rate",
            constraint=models.UniqueConstraint(fields=("card", "position"), name="rate_position_unique"),
        ),
        migrations.AddConstraint(
            model_name="rate",
            constraint=models.UniqueConstraint(
                condition=models.Q(("meter", ""), _negated=True), fields=("card", "meter"), name="rate_meter_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="taxrule",
            constraint=models.CheckConstraint(
                condition=models.Q(("rate__gt", 0), ("rate__lt", 1)), name="tax_rate_is_a_share"
            ),
        ),
    ]
