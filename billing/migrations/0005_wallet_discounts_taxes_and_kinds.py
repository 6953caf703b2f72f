"""Kinds of lines, adjustments, prepaid credit, discounts and how tenants are taxed."""

from decimal import Decimal

import core.clock
import django.contrib.postgres.fields
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0004_usage_claim"),
        ("tenants", "0002_assignments_never_overlap"),
    ]

    operations = [
        migrations.CreateModel(
            name="Adjustment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                ("description", models.CharField(max_length=120)),
                ("description_ja", models.CharField(blank=True, max_length=120)),
                ("reason", models.TextField()),
                ("amount", models.DecimalField(decimal_places=3, max_digits=38)),
                ("tax_category", models.CharField(default="standard", max_length=20)),
                ("actor_name", models.CharField(max_length=150)),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="CreditEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("grant", "Granted"),
                            ("draw", "Drawn by an invoice"),
                            ("return", "Returned by a void invoice"),
                            ("expiry", "Expired"),
                            ("refund", "Paid back"),
                        ],
                        max_length=10,
                    ),
                ),
                ("amount", models.DecimalField(decimal_places=3, max_digits=38)),
                ("reason", models.TextField(blank=True)),
                ("actor_name", models.CharField(blank=True, max_length=150)),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="CreditGrant",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                ("currency", models.CharField(max_length=3)),
                ("amount", models.DecimalField(decimal_places=3, max_digits=38)),
                ("remaining", models.DecimalField(decimal_places=3, default=Decimal(0), max_digits=38)),
                ("expires_at", models.DateTimeField(null=True)),
                ("reference", models.CharField(max_length=120)),
                ("reason", models.TextField()),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="Discount",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                ("name", models.CharField(max_length=100)),
                ("name_ja", models.CharField(blank=True, max_length=100)),
                (
                    "kind",
                    models.CharField(choices=[("percent", "Percent"), ("fixed", "Amount per month")], max_length=10),
                ),
                ("value", models.DecimalField(decimal_places=6, max_digits=38)),
                ("currency", models.CharField(max_length=3)),
                (
                    "meters",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=40), default=list, size=None
                    ),
                ),
                (
                    "rate_keys",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=40), default=list, size=None
                    ),
                ),
                ("reason", models.TextField()),
                ("effective", django.contrib.postgres.fields.ranges.DateTimeRangeField()),
                ("version", models.PositiveIntegerField(default=1)),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="TaxProfile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("country", models.CharField(max_length=2)),
                ("tax_number", models.CharField(blank=True, max_length=30)),
                ("exempt_reason", models.CharField(blank=True, max_length=200)),
                ("version", models.PositiveIntegerField(default=1)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="rate",
            name="rate_meter_unique",
        ),
        migrations.AddField(
            model_name="invoice",
            name="content_schema",
            field=models.PositiveSmallIntegerField(default=1),
        ),
        # What was hashed so far keeps its form; what is written from now on has the new one.
        migrations.AlterField(
            model_name="invoice",
            name="content_schema",
            field=models.PositiveSmallIntegerField(default=2),
        ),
        migrations.AddField(
            model_name="invoice",
            name="prepaid",
            field=models.DecimalField(decimal_places=3, default=Decimal(0), max_digits=38),
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="kind",
            field=models.CharField(
                choices=[
                    ("usage", "Usage"),
                    ("flat", "Fee"),
                    ("commitment", "Minimum commitment"),
                    ("discount", "Discount"),
                    ("adjustment", "Adjustment"),
                    ("credit", "Prepaid credit"),
                ],
                default="usage",
                max_length=12,
            ),
        ),
        migrations.AddField(
            model_name="rate",
            name="serving_line",
            field=models.CharField(blank=True, max_length=30),
        ),
        migrations.AddField(
            model_name="rate",
            name="tax_category",
            field=models.CharField(default="standard", max_length=20),
        ),
        migrations.AddField(
            model_name="taxrule",
            name="category",
            field=models.CharField(default="standard", max_length=20),
        ),
        migrations.AddField(
            model_name="taxrule",
            name="country",
            field=models.CharField(blank=True, max_length=2),
        ),
        migrations.AddField(
            model_name="taxrule",
            name="reverse_charge",
            field=models.BooleanField(default=False),
        ),
        migrations.AlterField(
            model_name="taxrule",
            name="currency",
            field=models.CharField(blank=True, max_length=3),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("prepaid", 0), models.Q(("prepaid__gt", 0), ("prepaid__lte", models.F("total"))), _connector="OR"
                ),
                name="invoice_prepaid_within_total",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoiceline",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["usage", "flat", "commitment", "discount", "adjustment", "credit"])),
                name="invoice_line_kind_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="rate",
            constraint=models.UniqueConstraint(
                condition=models.Q(("meter", ""), _negated=True),
                fields=("card", "meter", "serving_line"),
                name="rate_meter_unique",
            ),
        ),
        migrations.AddConstraint(
            model_name="rate",
            constraint=models.CheckConstraint(
                condition=models.Q(("serving_line", ""), models.Q(("meter", ""), _negated=True), _connector="OR"),
                name="rate_line_needs_a_meter",
            ),
        ),
        migrations.AddConstraint(
            model_name="taxrule",
            constraint=models.CheckConstraint(
                condition=models.Q(("country", ""), ("currency", ""), _negated=True), name="tax_rule_says_for_whom"
            ),
        ),
        migrations.AddField(
            model_name="adjustment",
            name="invoice",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="adjustments", to="billing.invoice"
            ),
        ),
        migrations.AddField(
            model_name="creditentry",
            name="invoice",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="credit_entries",
                to="billing.invoice",
            ),
        ),
        migrations.AddField(
            model_name="creditentry",
            name="tenant",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.tenant"),
        ),
        migrations.AddField(
            model_name="creditgrant",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="credit_grants", to="tenants.tenant"
            ),
        ),
        migrations.AddField(
            model_name="creditentry",
            name="grant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="entries", to="billing.creditgrant"
            ),
        ),
        migrations.AddField(
            model_name="discount",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="discounts", to="tenants.tenant"
            ),
        ),
        migrations.AddField(
            model_name="taxprofile",
            name="tenant",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="tax_profile", to="tenants.tenant"
            ),
        ),
        migrations.AddConstraint(
            model_name="adjustment",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount", 0), _negated=True), name="adjustment_says_something"
            ),
        ),
        migrations.AddIndex(
            model_name="creditgrant",
            index=models.Index(
                condition=models.Q(("remaining__gt", 0)), fields=["tenant", "expires_at"], name="credit_open"
            ),
        ),
        migrations.AddConstraint(
            model_name="creditgrant",
            constraint=models.UniqueConstraint(fields=("tenant", "reference"), name="credit_grant_once_per_payment"),
        ),
        migrations.AddConstraint(
            model_name="creditgrant",
            constraint=models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="credit_grant_positive"),
        ),
        migrations.AddConstraint(
            model_name="creditgrant",
            constraint=models.CheckConstraint(
                condition=models.Q(("remaining__gte", 0), ("remaining__lte", models.F("amount"))),
                name="credit_never_negative",
            ),
        ),
        migrations.AddConstraint(
            model_name="creditgrant",
            constraint=models.CheckConstraint(
                condition=models.Q(("expires_at", None), ("expires_at__gt", models.F("created_at")), _connector="OR"),
                name="credit_expires_later",
            ),
        ),
        migrations.AddConstraint(
            model_name="creditentry",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", "grant")), fields=("grant",), name="credit_granted_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="creditentry",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", "expiry")), fields=("grant",), name="credit_expires_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="creditentry",
            constraint=models.UniqueConstraint(
                condition=models.Q(("invoice__isnull", False)),
                fields=("grant", "invoice", "kind"),
                name="credit_drawn_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="creditentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("amount__gt", 0), ("kind__in", ["grant", "return"])),
                    models.Q(("amount__lt", 0), ("kind__in", ["draw", "expiry", "refund"])),
                    _connector="OR",
                ),
                name="credit_entry_sign",
            ),
        ),
        migrations.AddConstraint(
            model_name="creditentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("invoice__isnull", False), ("kind__in", ["draw", "return"])),
                    ("kind__in", ["grant", "expiry", "refund"]),
                    _connector="OR",
                ),
                name="credit_entry_names_invoice",
            ),
        ),
        migrations.AddConstraint(
            model_name="discount",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "percent"), ("value__gt", 0), ("value__lte", 100)),
                    models.Q(("kind", "fixed"), ("value__gt", 0)),
                    _connector="OR",
                ),
                name="discount_value_in_range",
            ),
        ),
    ]
