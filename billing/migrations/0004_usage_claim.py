"""Which document bills which seal: each at most once, and fixed with the document."""

import django.db.models.deletion
from django.db import migrations, models

FIXED_WITH_ITS_INVOICE = """
    CREATE FUNCTION billing_usageclaim_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        invoice record;
    BEGIN
        SELECT state, tenant_id INTO invoice FROM billing_invoice
            WHERE id = CASE TG_OP WHEN 'INSERT' THEN NEW.invoice_id ELSE OLD.invoice_id END FOR SHARE;
        IF TG_OP = 'UPDATE' THEN
            IF invoice.state <> 'void' OR OLD.released_at IS NOT NULL OR NEW.released_at IS NULL
                OR NEW.invoice_id <> OLD.invoice_id OR NEW.seal_id <> OLD.seal_id OR NEW.tenant_id <> OLD.tenant_id THEN
                RAISE EXCEPTION 'a claim can only be released, once, by voiding its document'
                    USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END IF;
        IF invoice.state <> 'draft' THEN
            RAISE EXCEPTION 'the claims of a finalized document are final' USING ERRCODE = 'restrict_violation';
        END IF;
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        IF NEW.tenant_id <> invoice.tenant_id
            OR NEW.tenant_id <> (SELECT tenant_id FROM metering_seal WHERE id = NEW.seal_id) THEN
            RAISE EXCEPTION 'a document bills its own tenant''s usage only' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER billing_usageclaim_fixed BEFORE INSERT OR UPDATE OR DELETE ON billing_usageclaim
        FOR EACH ROW EXECUTE FUNCTION billing_usageclaim_fixed();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0003_finalized_is_final"),
        ("metering", "0002_what_never_changes"),
        ("tenants", "0002_assignments_never_overlap"),
    ]

    operations = [
        migrations.CreateModel(
            name="UsageClaim",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("released_at", models.DateTimeField(null=True)),
                (
                    "invoice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="claims", to="billing.invoice"
                    ),
                ),
                (
                    "seal",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="claims", to="metering.seal"
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("released_at", None)), fields=("seal",), name="usage_claim_seal_unique"
                    )
                ],
            },
        ),
        migrations.RunSQL(
            FIXED_WITH_ITS_INVOICE,
            "DROP TRIGGER billing_usageclaim_fixed ON billing_usageclaim; DROP FUNCTION billing_usageclaim_fixed();",
        ),
    ]
