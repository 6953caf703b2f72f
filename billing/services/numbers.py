"""Invoice numbers: per issuer, series and year, from 1 without a gap."""

from django.db import connection

from billing.models import Issuer
from billing.states import InvoiceKind

# Notes have series of their own, as an accountant expects; an invoice takes its issuer's prefix.
NOTE_SERIES = {InvoiceKind.CREDIT_NOTE: "CN", InvoiceKind.DEBIT_NOTE: "DN"}

TAKE = """
    INSERT INTO billing_invoicesequence AS sequence (issuer_id, series, year, last_number)
    VALUES (%s, %s, %s, %s)
    ON CONFLICT (issuer_id, series, year)
        DO UPDATE SET last_number = sequence.last_number + EXCLUDED.last_number
    RETURNING last_number
"""


def take_numbers(*, issuer: Issuer, kind: str, year: int, count: int) -> list[str]:
    """The next `count` numbers of a series, in one statement; inside the caller's transaction.

    The counter's row stays locked until that transaction ends and rolls back with it, so a number is never lost.
    """
    series = NOTE_SERIES.get(InvoiceKind(kind), issuer.number_prefix)
    with connection.cursor() as cursor:
        cursor.execute(TAKE, [issuer.pk, series, year, count])
        last: int = cursor.fetchone()[0]
    return [f"{series}-{year}-{number:06d}" for number in range(last - count + 1, last + 1)]
