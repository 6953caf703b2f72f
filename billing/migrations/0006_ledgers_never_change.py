"""The ledger of prepaid credit only grows, discounts only end, and what is final stays so for the new kinds of lines.

The checks of lines and claims become one per statement: an invoice run writes thousands of lines at once.
"""

from django.db import migrations

from core.triggers import append_only

KINDS_OF_LINES = """
    ALTER TABLE billing_invoiceline DISABLE TRIGGER billing_invoiceline_final;
    UPDATE billing_invoiceline line SET kind = CASE rate.model WHEN 'flat' THEN 'flat' ELSE 'commitment' END
        FROM billing_rate rate WHERE rate.id = line.rate_id AND rate.model IN ('flat', 'minimum_commitment');
    ALTER TABLE billing_invoiceline ENABLE TRIGGER billing_invoiceline_final;
"""

FORMS = """
    ALTER TABLE billing_creditgrant ADD CONSTRAINT credit_grant_currency_form CHECK (currency ~ '^[A-Z]{3}$');
    ALTER TABLE billing_discount ADD CONSTRAINT discount_currency_form CHECK (currency ~ '^[A-Z]{3}$');
    ALTER TABLE billing_taxprofile ADD CONSTRAINT tax_profile_country_form CHECK (country ~ '^[A-Z]{2}$');
    ALTER TABLE billing_taxrule ADD CONSTRAINT tax_rule_country_form CHECK (country ~ '^([A-Z]{2})?$');
    ALTER TABLE billing_taxrule DROP CONSTRAINT tax_rule_currency_form;
    ALTER TABLE billing_taxrule ADD CONSTRAINT tax_rule_currency_form CHECK (currency ~ '^([A-Z]{3})?$');
"""

NO_FORMS = """
    ALTER TABLE billing_taxrule DROP CONSTRAINT tax_rule_currency_form;
    ALTER TABLE billing_taxrule ADD CONSTRAINT tax_rule_currency_form CHECK (currency ~ '^[A-Z]{3}$');
    ALTER TABLE billing_taxrule DROP CONSTRAINT tax_rule_country_form;
    ALTER TABLE billing_taxprofile DROP CONSTRAINT tax_profile_country_form;
    ALTER TABLE billing_discount DROP CONSTRAINT discount_currency_form;
    ALTER TABLE billing_creditgrant DROP CONSTRAINT credit_grant_currency_form;
"""

# A country, a currency and a category are texts, and GiST compares no texts without an extension; their hash will do,
# since two that collide can only be refused together.
FOR_WHOM = "hashtext(country || '/' || currency || '/' || category)::bigint"
ONE_TAX_AT_A_TIME = f"""
    ALTER TABLE billing_taxrule DROP CONSTRAINT tax_rule_no_overlap;
    ALTER TABLE billing_taxrule ADD CONSTRAINT tax_rule_no_overlap EXCLUDE USING gist (
        int8range(issuer_id, issuer_id, '[]') WITH =,
        int8range({FOR_WHOM}, {FOR_WHOM}, '[]') WITH =,
        effective WITH &&
    );
"""
CURRENCY_NUMBER = "(ascii(currency) * 65536 + ascii(substr(currency, 2, 1)) * 256 + ascii(substr(currency, 3, 1)))"
ONE_TAX_PER_CURRENCY = f"""
    ALTER TABLE billing_taxrule DROP CONSTRAINT tax_rule_no_overlap;
    ALTER TABLE billing_taxrule ADD CONSTRAINT tax_rule_no_overlap EXCLUDE USING gist (
        int8range(issuer_id, issuer_id, '[]') WITH =,
        int4range({CURRENCY_NUMBER}, {CURRENCY_NUMBER}, '[]') WITH =,
        effective WITH &&
    );
"""

LEDGER = """
    CREATE FUNCTION billing_creditgrant_by_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            IF NEW.remaining <> 0 THEN
                RAISE EXCEPTION 'a grant is filled by its entry in the ledger' USING ERRCODE = 'restrict_violation';
            END IF;
            RETURN NEW;
        END IF;
        -- At depth 1 it is somebody's statement; the ledger's own trigger makes it 2.
        IF TG_OP = 'DELETE' OR pg_trigger_depth() < 2
            OR to_jsonb(NEW) - 'remaining' IS DISTINCT FROM to_jsonb(OLD) - 'remaining' THEN
            RAISE EXCEPTION 'grant % changes by its ledger only', OLD.public_id USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER billing_creditgrant_by_ledger BEFORE INSERT OR UPDATE OR DELETE ON billing_creditgrant
        FOR EACH ROW EXECUTE FUNCTION billing_creditgrant_by_ledger();

    CREATE FUNCTION billing_creditentry_moves() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (
            SELECT 1 FROM entered e JOIN billing_creditgrant g ON g.id = e.grant_id
            LEFT JOIN billing_invoice i ON i.id = e.invoice_id
            WHERE e.tenant_id <> g.tenant_id OR i.tenant_id <> g.tenant_id OR i.currency <> g.currency
        ) THEN
            RAISE EXCEPTION 'credit moves within one tenant and currency' USING ERRCODE = 'check_violation';
        END IF;
        UPDATE billing_creditgrant g SET remaining = g.remaining + moved.amount
            FROM (SELECT grant_id, sum(amount) AS amount FROM entered GROUP BY grant_id) moved
            WHERE g.id = moved.grant_id;
        RETURN NULL;
    END $$;
    CREATE TRIGGER billing_creditentry_moves AFTER INSERT ON billing_creditentry
        REFERENCING NEW TABLE AS entered FOR EACH STATEMENT EXECUTE FUNCTION billing_creditentry_moves();
"""

NO_LEDGER = """
    DROP TRIGGER billing_creditentry_moves ON billing_creditentry;
    DROP FUNCTION billing_creditentry_moves();
    DROP TRIGGER billing_creditgrant_by_ledger ON billing_creditgrant;
    DROP FUNCTION billing_creditgrant_by_ledger();
"""

DISCOUNTS_ONLY_END = """
    CREATE FUNCTION billing_discount_only_ends() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' OR to_jsonb(NEW) - ARRAY['effective', 'version']
                IS DISTINCT FROM to_jsonb(OLD) - ARRAY['effective', 'version']
            OR lower(NEW.effective) IS DISTINCT FROM lower(OLD.effective)
            OR NOT (upper_inf(OLD.effective) OR upper(NEW.effective) < upper(OLD.effective)) THEN
            RAISE EXCEPTION 'a discount can only be given an earlier end' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER billing_discount_only_ends BEFORE UPDATE OR DELETE ON billing_discount
        FOR EACH ROW EXECUTE FUNCTION billing_discount_only_ends();
"""

NO_DISCOUNTS_ONLY_END = """
    DROP TRIGGER billing_discount_only_ends ON billing_discount;
    DROP FUNCTION billing_discount_only_ends();
"""

PARTS_PER_STATEMENT = """
    CREATE TRIGGER billing_adjustment_final BEFORE INSERT OR UPDATE OR DELETE ON billing_adjustment
        FOR EACH ROW EXECUTE FUNCTION billing_part_final();

    -- New lines, the bulk of an invoice run, are checked once per statement; the row trigger keeps the rest.
    CREATE FUNCTION billing_lines_of_drafts() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        invoice record;
    BEGIN
        -- SHARE makes an edit of a line and a finalization that meet wait for each other.
        FOR invoice IN SELECT state, number FROM billing_invoice
            WHERE id IN (SELECT invoice_id FROM written) FOR SHARE LOOP
            IF invoice.state <> 'draft' THEN
                RAISE EXCEPTION 'the lines of % are final', invoice.number USING ERRCODE = 'restrict_violation';
            END IF;
        END LOOP;
        RETURN NULL;
    END $$;
    DROP TRIGGER billing_invoiceline_final ON billing_invoiceline;
    CREATE TRIGGER billing_invoiceline_final BEFORE UPDATE OR DELETE ON billing_invoiceline
        FOR EACH ROW EXECUTE FUNCTION billing_part_final();
    CREATE TRIGGER billing_invoiceline_of_draft AFTER INSERT ON billing_invoiceline
        REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION billing_lines_of_drafts();

    CREATE FUNCTION billing_claims_of_drafts() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        invoice record;
    BEGIN
        FOR invoice IN SELECT state FROM billing_invoice
            WHERE id IN (SELECT invoice_id FROM written) FOR SHARE LOOP
            IF invoice.state <> 'draft' THEN
                RAISE EXCEPTION 'the claims of a finalized document are final' USING ERRCODE = 'restrict_violation';
            END IF;
        END LOOP;
        IF EXISTS (
            SELECT 1 FROM written w JOIN billing_invoice i ON i.id = w.invoice_id JOIN metering_seal s ON s.id = w.seal_id
            WHERE w.tenant_id <> i.tenant_id OR w.tenant_id <> s.tenant_id
        ) THEN
            RAISE EXCEPTION 'a document bills its own tenant''s usage only' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$;
    DROP TRIGGER billing_usageclaim_fixed ON billing_usageclaim;
    CREATE TRIGGER billing_usageclaim_fixed BEFORE UPDATE OR DELETE ON billing_usageclaim
        FOR EACH ROW EXECUTE FUNCTION billing_usageclaim_fixed();
    CREATE TRIGGER billing_usageclaim_of_draft AFTER INSERT ON billing_usageclaim
        REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION billing_claims_of_drafts();
"""

PARTS_PER_ROW = """
    DROP TRIGGER billing_usageclaim_of_draft ON billing_usageclaim;
    DROP TRIGGER billing_usageclaim_fixed ON billing_usageclaim;
    CREATE TRIGGER billing_usageclaim_fixed BEFORE INSERT OR UPDATE OR DELETE ON billing_usageclaim
        FOR EACH ROW EXECUTE FUNCTION billing_usageclaim_fixed();
    DROP FUNCTION billing_claims_of_drafts();
    DROP TRIGGER billing_invoiceline_of_draft ON billing_invoiceline;
    DROP TRIGGER billing_invoiceline_final ON billing_invoiceline;
    CREATE TRIGGER billing_invoiceline_final BEFORE INSERT OR UPDATE OR DELETE ON billing_invoiceline
        FOR EACH ROW EXECUTE FUNCTION billing_part_final();
    DROP FUNCTION billing_lines_of_drafts();
    DROP TRIGGER billing_adjustment_final ON billing_adjustment;
"""

CLOSES = """
    CREATE FUNCTION billing_invoices_close() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        wrong record;
        note record;
        corrected billing_invoice;
        credited numeric;
    BEGIN
        SELECT closed.public_id, closed.subtotal, closed.prepaid, lines.amount, lines.drawn, ledger.drawn AS entered
        INTO wrong
        FROM after_it closed JOIN before_it draft ON draft.id = closed.id AND draft.state = 'draft'
        LEFT JOIN LATERAL (
            SELECT sum(amount) FILTER (WHERE kind <> 'credit') AS amount,
                   -coalesce(sum(amount) FILTER (WHERE kind = 'credit'), 0) AS drawn
            FROM billing_invoiceline WHERE invoice_id = closed.id
        ) lines ON true
        LEFT JOIN LATERAL (
            SELECT -coalesce(sum(amount), 0) AS drawn FROM billing_creditentry
            WHERE invoice_id = closed.id AND kind = 'draw'
        ) ledger ON true
        WHERE closed.state = 'finalized'
            AND (lines.amount IS DISTINCT FROM closed.subtotal OR lines.drawn <> closed.prepaid
                OR ledger.drawn <> closed.prepaid)
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'the lines of % make %, its subtotal says %; they draw %, the ledger %, it says %',
                wrong.public_id, wrong.amount, wrong.subtotal, wrong.drawn, wrong.entered, wrong.prepaid
                USING ERRCODE = 'check_violation';
        END IF;
        FOR note IN SELECT closed.* FROM after_it closed JOIN before_it draft
            ON draft.id = closed.id AND draft.state = 'draft'
            WHERE closed.state = 'finalized' AND closed.kind <> 'invoice' LOOP
            -- The lock makes two notes for one invoice, or a note and a void, wait for each other.
            SELECT * INTO corrected FROM billing_invoice WHERE id = note.corrects_id FOR UPDATE;
            IF corrected.kind <> 'invoice' OR corrected.state NOT IN ('finalized', 'paid')
                OR corrected.tenant_id <> note.tenant_id OR corrected.currency <> note.currency THEN
                RAISE EXCEPTION '% does not fit the invoice that it corrects', note.public_id
                    USING ERRCODE = 'check_violation';
            END IF;
            SELECT coalesce(sum(CASE kind WHEN 'credit_note' THEN total ELSE -total END), 0) INTO credited
                FROM billing_invoice WHERE corrects_id = note.corrects_id AND state IN ('finalized', 'paid');
            IF note.kind = 'credit_note' AND credited > corrected.total THEN
                RAISE EXCEPTION 'credit of % exceeds invoice % over %', credited, corrected.number, corrected.total
                    USING ERRCODE = 'check_violation';
            END IF;
        END LOOP;
        RETURN NULL;
    END $$;
    DROP TRIGGER billing_invoice_closes ON billing_invoice;
    CREATE TRIGGER billing_invoice_closes AFTER UPDATE ON billing_invoice
        REFERENCING OLD TABLE AS before_it NEW TABLE AS after_it
        FOR EACH STATEMENT EXECUTE FUNCTION billing_invoices_close();
"""

CLOSES_PER_ROW = """
    DROP TRIGGER billing_invoice_closes ON billing_invoice;
    CREATE TRIGGER billing_invoice_closes AFTER UPDATE OF state ON billing_invoice
        FOR EACH ROW WHEN (OLD.state = 'draft' AND NEW.state = 'finalized') EXECUTE FUNCTION billing_invoice_closes();
    DROP FUNCTION billing_invoices_close();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0005_wallet_discounts_taxes_and_kinds")]

    operations = [
        migrations.RunSQL(KINDS_OF_LINES, migrations.RunSQL.noop),
        migrations.RunSQL(FORMS, NO_FORMS),
        migrations.RunSQL(ONE_TAX_AT_A_TIME, ONE_TAX_PER_CURRENCY),
        append_only("billing_creditentry"),
        migrations.RunSQL(LEDGER, NO_LEDGER),
        migrations.RunSQL(DISCOUNTS_ONLY_END, NO_DISCOUNTS_ONLY_END),
        migrations.RunSQL(PARTS_PER_STATEMENT, PARTS_PER_ROW),
        migrations.RunSQL(CLOSES, CLOSES_PER_ROW),
    ]
