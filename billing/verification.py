"""What must always hold of money."""

from collections.abc import Iterator

from billing.models import Invoice
from billing.queries.invoices import content_is_unchanged
from billing.states import InvoiceState
from core.money import exponent
from core.verification import Check, sql_check

FINAL = "('finalized', 'paid', 'void')"
# Half of the smallest unit, by currency: what one rounding can be off.
CURRENCIES = ("JPY", "USD", "EUR", "GBP", "KWD", "BHD")
HALF_A_UNIT = ", ".join(f"('{currency}', {0.5 * 10 ** -exponent(currency):.4f})" for currency in CURRENCIES)


def _changed_contents() -> Iterator[str]:
    rows = Invoice.objects.exclude(state=InvoiceState.DRAFT).select_related("corrects").order_by("pk")
    for invoice in rows.iterator(chunk_size=500):
        if not content_is_unchanged(invoice):
            yield f"{invoice.number} does not say any more what was hashed when it was finalized"


CHECKS: tuple[Check, ...] = (
    sql_check(
        "invoice_totals",
        "An invoice's lines make its subtotal, its taxes its tax, both its total.",
        f"""SELECT i.public_id || ': ' || coalesce(i.number, 'draft') || ' asks for ' || i.total || ', its lines make '
                || coalesce(sum(l.amount) FILTER (WHERE l.kind <> 'credit'), 0)
            FROM billing_invoice i LEFT JOIN billing_invoiceline l ON l.invoice_id = i.id
            WHERE i.state IN {FINAL}
            GROUP BY i.id HAVING i.subtotal <> coalesce(sum(l.amount) FILTER (WHERE l.kind <> 'credit'), 0)
                OR i.total <> i.subtotal + i.tax
                OR i.prepaid <> -coalesce(sum(l.amount) FILTER (WHERE l.kind = 'credit'), 0)
                OR i.tax <> (SELECT coalesce(sum((t->>'amount')::numeric), 0) FROM jsonb_array_elements(i.taxes) t)""",
    ),
    sql_check(
        "line_rounding",
        "A rated line is off its exact amount by at most half of the currency's smallest unit.",
        f"""SELECT l.public_id || ': ' || l.amount || ' for ' || (l.explanation->>'exact')
            FROM billing_invoiceline l JOIN billing_invoice i ON i.id = l.invoice_id
            JOIN (VALUES {HALF_A_UNIT}) AS unit (currency, half) ON unit.currency = i.currency
            WHERE i.kind = 'invoice' AND l.kind IN ('usage', 'flat', 'commitment') AND l.explanation ? 'exact'
                AND abs(l.amount - (l.explanation->>'exact')::numeric) > unit.half""",
    ),
    sql_check(
        "invoice_numbers",
        "Per issuer, series and year numbers run from 1 without a gap or a repeat.",
        """SELECT s.series || '-' || s.year || ': ' || count(i.id) || ' documents for ' || s.last_number || ' numbers'
            FROM billing_invoicesequence s LEFT JOIN billing_invoice i ON i.issuer_id = s.issuer_id
                AND i.number LIKE s.series || '-' || s.year || '-%%'
            GROUP BY s.id HAVING count(i.id) <> s.last_number OR count(DISTINCT i.number) <> s.last_number
                OR coalesce(max(right(i.number, 6)::int), 0) <> s.last_number""",
    ),
    Check("invoice_content", "What was finalized still says what was hashed then.", _changed_contents),
    sql_check(
        "invoice_periods",
        "No two standing invoices of a tenant cover the same time.",
        """SELECT a.public_id || ' and ' || b.public_id FROM billing_invoice a JOIN billing_invoice b
            ON a.tenant_id = b.tenant_id AND a.id < b.id
                AND a.period_start < b.period_end AND b.period_start < a.period_end
            WHERE a.kind = 'invoice' AND b.kind = 'invoice' AND a.state <> 'void' AND b.state <> 'void'""",
    ),
    sql_check(
        "invoice_events",
        "Every final document was told about exactly once.",
        f"""SELECT i.public_id || ': ' || count(e.id) || ' events' FROM billing_invoice i LEFT JOIN events_event e
            ON e.subject_ref = i.public_id
                AND e.name IN ('invoice.finalized', 'credit_note.issued', 'debit_note.issued')
            WHERE i.state IN {FINAL} GROUP BY i.id HAVING count(e.id) <> 1""",
    ),
    sql_check(
        "usage_claimed_once",
        "Of a seal there is at most one live claim, and only by a document of its tenant.",
        """SELECT 'seal ' || c.seal_id || ': ' || count(*) || ' claims' FROM billing_usageclaim c
            JOIN billing_invoice i ON i.id = c.invoice_id JOIN metering_seal s ON s.id = c.seal_id
            WHERE c.released_at IS NULL GROUP BY c.seal_id
            HAVING count(*) > 1 OR bool_or(i.tenant_id <> s.tenant_id OR c.tenant_id <> s.tenant_id)""",
    ),
    sql_check(
        "usage_billed_whole",
        "What an invoice's lines and its uncharged usage count is what its seals claim.",
        """SELECT i.public_id || ': ' || d.meter || ' sealed ' || d.quantity || ', billed ' || coalesce(l.quantity, 0)
            FROM billing_invoice i
            JOIN LATERAL (SELECT day.meter, sum(day.quantity) AS quantity FROM billing_usageclaim c
                JOIN metering_sealedday day ON day.seal_id = c.seal_id WHERE c.invoice_id = i.id GROUP BY 1) d ON true
            LEFT JOIN LATERAL (SELECT sum((explanation->>'quantity')::numeric) AS quantity FROM billing_invoiceline
                WHERE invoice_id = i.id AND meter = d.meter) l ON true
            WHERE i.kind = 'invoice' AND i.state IN ('finalized', 'paid') AND d.quantity
                <> coalesce(l.quantity, 0) + coalesce((i.uncharged->>d.meter)::numeric, 0)""",
    ),
    sql_check(
        "notes_within_invoice",
        "Credit notes never give back more than was asked for.",
        """SELECT i.number || ': ' || sum(CASE n.kind WHEN 'credit_note' THEN n.total ELSE -n.total END)
            FROM billing_invoice i JOIN billing_invoice n ON n.corrects_id = i.id AND n.state IN ('finalized', 'paid')
            GROUP BY i.id HAVING sum(CASE n.kind WHEN 'credit_note' THEN n.total ELSE -n.total END) > i.total""",
    ),
    sql_check(
        "credit_ledger",
        "What remains of a grant is the sum of its entries, never below zero.",
        """SELECT g.public_id || ': ' || g.remaining || ' remain, the ledger says ' || coalesce(sum(e.amount), 0)
            FROM billing_creditgrant g LEFT JOIN billing_creditentry e ON e.grant_id = g.id
            GROUP BY g.id HAVING g.remaining <> coalesce(sum(e.amount), 0) OR g.remaining < 0
                OR bool_or(e.tenant_id <> g.tenant_id)""",
    ),
    sql_check(
        "credit_drawn",
        "What a document took from prepaid credit is what the ledger says it drew.",
        f"""SELECT i.public_id || ': ' || i.prepaid || ' paid, the ledger says ' || -coalesce(sum(e.amount), 0)
            FROM billing_invoice i LEFT JOIN billing_creditentry e ON e.invoice_id = i.id AND e.kind = 'draw'
            WHERE i.state IN {FINAL} GROUP BY i.id HAVING i.prepaid <> -coalesce(sum(e.amount), 0)""",
    ),
    sql_check(
        "prices_one_at_a_time",
        "A tier version has one price per currency at any instant, on a published card.",
        """SELECT a.public_id || ' and ' || b.public_id FROM billing_tierprice a JOIN billing_tierprice b
            ON a.tier_version_id = b.tier_version_id AND a.currency = b.currency AND a.id < b.id
                AND a.effective && b.effective
            UNION ALL SELECT p.public_id || ' is on a draft' FROM billing_tierprice p
            JOIN billing_ratecard c ON c.id = p.rate_card_id WHERE c.state <> 'published'""",
    ),
)
