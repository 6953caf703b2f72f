"""A finalized invoice, its lines and its documents never change; periods are invoiced once; credits stay within."""

from django.db import migrations

from core.triggers import append_only

ONE_INVOICE_PER_PERIOD = """
    ALTER TABLE billing_invoice ADD CONSTRAINT invoice_currency_form CHECK (currency ~ '^[A-Z]{3}$');
    ALTER TABLE billing_invoice ADD CONSTRAINT invoice_period_once EXCLUDE USING gist (
        int8range(tenant_id, tenant_id, '[]') WITH =,
        tstzrange(period_start, period_end) WITH &&
    ) WHERE (kind = 'invoice' AND state <> 'void');
"""

FINALIZED_IS_FINAL = """
    CREATE FUNCTION billing_invoice_final() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        -- What may still be added to a finalized invoice: that it was paid or voided.
        stamps text[] := ARRAY['state', 'version', 'paid_at', 'payment_reference', 'voided_at', 'void_reason'];
    BEGIN
        IF TG_OP = 'INSERT' THEN
            IF NEW.state <> 'draft' THEN
                RAISE EXCEPTION 'an invoice begins as a draft' USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END IF;
        IF OLD.state = 'draft' THEN
            IF TG_OP = 'DELETE' THEN
                RETURN OLD;
            END IF;
            IF NEW.state NOT IN ('draft', 'finalized') THEN
                RAISE EXCEPTION 'a draft can only be finalized' USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END IF;
        IF TG_OP = 'DELETE' OR to_jsonb(NEW) - stamps IS DISTINCT FROM to_jsonb(OLD) - stamps
            OR OLD.state IN ('paid', 'void')
            OR (OLD.state, NEW.state) NOT IN (('finalized', 'paid'), ('finalized', 'void')) THEN
            RAISE EXCEPTION 'invoice % is final and cannot be changed', OLD.number USING ERRCODE = 'restrict_violation';
        END IF;
        IF NEW.state = 'void' AND EXISTS (
            SELECT 1 FROM billing_invoice note WHERE note.corrects_id = OLD.id AND note.state <> 'void'
        ) THEN
            RAISE EXCEPTION 'invoice % has notes that stand', OLD.number USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER billing_invoice_final BEFORE INSERT OR UPDATE OR DELETE ON billing_invoice
        FOR EACH ROW EXECUTE FUNCTION billing_invoice_final();

    CREATE FUNCTION billing_invoice_closes() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        lines record;
        corrected billing_invoice;
        credited numeric;
    BEGIN
        SELECT count(*) AS count, coalesce(sum(amount), 0) AS amount INTO lines
            FROM billing_invoiceline WHERE invoice_id = NEW.id;
        IF lines.count = 0 OR lines.amount <> NEW.subtotal THEN
            RAISE EXCEPTION 'the lines of % make %, its subtotal says %', NEW.public_id, lines.amount, NEW.subtotal
                USING ERRCODE = 'check_violation';
        END IF;
        IF NEW.kind = 'invoice' THEN
            RETURN NULL;
        END IF;
        -- The lock makes two notes for one invoice, or a note and a void, wait for each other.
        SELECT * INTO corrected FROM billing_invoice WHERE id = NEW.corrects_id FOR UPDATE;
        IF corrected.kind <> 'invoice' OR corrected.state NOT IN ('finalized', 'paid')
            OR corrected.tenant_id <> NEW.tenant_id OR corrected.currency <> NEW.currency THEN
            RAISE EXCEPTION '% does not fit the invoice that it corrects', NEW.public_id USING ERRCODE = 'check_violation';
        END IF;
        SELECT coalesce(sum(CASE kind WHEN 'credit_note' THEN total ELSE -total END), 0) INTO credited
            FROM billing_invoice WHERE corrects_id = NEW.corrects_id AND state IN ('finalized', 'paid');
        IF NEW.kind = 'credit_note' AND credited > corrected.total THEN
            RAISE EXCEPTION 'credit of % exceeds invoice % over %', credited, corrected.number, corrected.total
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER billing_invoice_closes AFTER UPDATE OF state ON billing_invoice
        FOR EACH ROW WHEN (OLD.state = 'draft' AND NEW.state = 'finalized') EXECUTE FUNCTION billing_invoice_closes();

    CREATE FUNCTION billing_part_final() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        invoice record;
    BEGIN
        -- SHARE makes an edit of a line and a finalization that meet wait for each other.
        FOR invoice IN SELECT state, number FROM billing_invoice WHERE id IN (
            CASE WHEN TG_OP <> 'INSERT' THEN OLD.invoice_id END, CASE WHEN TG_OP <> 'DELETE' THEN NEW.invoice_id END
        ) FOR SHARE LOOP
            IF invoice.state <> 'draft' THEN
                RAISE EXCEPTION 'the lines of % are final', invoice.number USING ERRCODE = 'restrict_violation';
            END IF;
        END LOOP;
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END $$;
    CREATE TRIGGER billing_invoiceline_final BEFORE INSERT OR UPDATE OR DELETE ON billing_invoiceline
        FOR EACH ROW EXECUTE FUNCTION billing_part_final();
"""

FINALIZED_CAN_CHANGE = """
    DROP TRIGGER billing_invoiceline_final ON billing_invoiceline;
    DROP FUNCTION billing_part_final();
    DROP TRIGGER billing_invoice_closes ON billing_invoice;
    DROP FUNCTION billing_invoice_closes();
    DROP TRIGGER billing_invoice_final ON billing_invoice;
    DROP FUNCTION billing_invoice_final();
"""

COUNT_UP_ONLY = """
    CREATE FUNCTION billing_invoicesequence_up() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' OR NEW.last_number < OLD.last_number OR NEW.issuer_id <> OLD.issuer_id
            OR NEW.series <> OLD.series OR NEW.year <> OLD.year THEN
            RAISE EXCEPTION 'invoice numbers only count up' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER billing_invoicesequence_up BEFORE UPDATE OR DELETE ON billing_invoicesequence
        FOR EACH ROW EXECUTE FUNCTION billing_invoicesequence_up();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0002_prices_never_change")]

    operations = [
        migrations.RunSQL(
            ONE_INVOICE_PER_PERIOD,
            "ALTER TABLE billing_invoice DROP CONSTRAINT invoice_period_once;"
            " ALTER TABLE billing_invoice DROP CONSTRAINT invoice_currency_form;",
        ),
        migrations.RunSQL(FINALIZED_IS_FINAL, FINALIZED_CAN_CHANGE),
        append_only("billing_invoicedocument"),
        migrations.RunSQL(
            COUNT_UP_ONLY,
            "DROP TRIGGER billing_invoicesequence_up ON billing_invoicesequence;"
            " DROP FUNCTION billing_invoicesequence_up();",
        ),
    ]
