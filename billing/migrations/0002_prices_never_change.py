"""A published card and its rates never change; a tier version has one price per currency at any instant."""

from django.db import migrations

from core.triggers import frozen_columns

# int8range instead of a plain column, because btree_gist is an extension and the schema must need none. A currency
# is three capital letters, so it packs into a number.
CURRENCY_NUMBER = "(ascii(currency) * 65536 + ascii(substr(currency, 2, 1)) * 256 + ascii(substr(currency, 3, 1)))"

ONE_PRICE_AT_A_TIME = f"""
    ALTER TABLE billing_ratecard ADD CONSTRAINT rate_card_currency_form CHECK (currency ~ '^[A-Z]{{3}}$');
    ALTER TABLE billing_taxrule ADD CONSTRAINT tax_rule_currency_form CHECK (currency ~ '^[A-Z]{{3}}$');
    ALTER TABLE billing_tierprice ADD CONSTRAINT tier_price_no_overlap EXCLUDE USING gist (
        int8range(tier_version_id, tier_version_id, '[]') WITH =,
        int4range({CURRENCY_NUMBER}, {CURRENCY_NUMBER}, '[]') WITH =,
        effective WITH &&
    );
    ALTER TABLE billing_tierprice ADD CONSTRAINT tier_price_in_the_currency_of_its_card
        FOREIGN KEY (rate_card_id, currency) REFERENCES billing_ratecard (id, currency);
    ALTER TABLE billing_taxrule ADD CONSTRAINT tax_rule_no_overlap EXCLUDE USING gist (
        int8range(issuer_id, issuer_id, '[]') WITH =,
        int4range({CURRENCY_NUMBER}, {CURRENCY_NUMBER}, '[]') WITH =,
        effective WITH &&
    );
"""

SEVERAL_PRICES_AT_A_TIME = """
    ALTER TABLE billing_taxrule DROP CONSTRAINT tax_rule_no_overlap;
    ALTER TABLE billing_tierprice DROP CONSTRAINT tier_price_in_the_currency_of_its_card;
    ALTER TABLE billing_tierprice DROP CONSTRAINT tier_price_no_overlap;
    ALTER TABLE billing_taxrule DROP CONSTRAINT tax_rule_currency_form;
    ALTER TABLE billing_ratecard DROP CONSTRAINT rate_card_currency_form;
"""

RATES_OF_PUBLISHED_CARDS = """
    CREATE FUNCTION billing_rate_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        card record;
    BEGIN
        -- SHARE makes an edit of a rate and a publication of its card that meet wait for each other.
        FOR card IN SELECT state FROM billing_ratecard WHERE id IN (
            CASE WHEN TG_OP <> 'INSERT' THEN OLD.card_id END, CASE WHEN TG_OP <> 'DELETE' THEN NEW.card_id END
        ) FOR SHARE LOOP
            IF card.state = 'published' THEN
                RAISE EXCEPTION 'the rates of a published card never change' USING ERRCODE = 'restrict_violation';
            END IF;
        END LOOP;
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END $$;
    CREATE TRIGGER billing_rate_frozen BEFORE INSERT OR UPDATE OR DELETE ON billing_rate
        FOR EACH ROW EXECUTE FUNCTION billing_rate_frozen();
"""

PRICES_ONLY_END = """
    CREATE FUNCTION billing_tierprice_only_ends() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' OR NEW.tier_version_id <> OLD.tier_version_id OR NEW.rate_card_id <> OLD.rate_card_id
            OR NEW.currency <> OLD.currency OR lower(NEW.effective) IS DISTINCT FROM lower(OLD.effective)
            OR NOT upper_inf(OLD.effective) THEN
            RAISE EXCEPTION 'a price of a tier can only be given an end, once' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER billing_tierprice_only_ends BEFORE UPDATE OR DELETE ON billing_tierprice
        FOR EACH ROW EXECUTE FUNCTION billing_tierprice_only_ends();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]

    operations = [
        migrations.RunSQL(ONE_PRICE_AT_A_TIME, SEVERAL_PRICES_AT_A_TIME),
        frozen_columns(
            "billing_ratecard",
            ["public_id", "name", "number", "currency", "state", "published_at"],
            when="OLD.state = 'published'",
        ),
        migrations.RunSQL(
            RATES_OF_PUBLISHED_CARDS,
            "DROP TRIGGER billing_rate_frozen ON billing_rate; DROP FUNCTION billing_rate_frozen();",
        ),
        migrations.RunSQL(
            PRICES_ONLY_END,
            "DROP TRIGGER billing_tierprice_only_ends ON billing_tierprice; DROP FUNCTION billing_tierprice_only_ends();",
        ),
    ]
