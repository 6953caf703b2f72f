"""Who issues the invoices and which taxes they carry: set up once, by an operator or by the seeds."""

from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from billing.models import Issuer, TaxRule


@dataclass(frozen=True, slots=True)
class IssuerDetails:
    """What stands on an invoice about the company that writes it."""

    name: str
    address: str
    email: str = ""
    registration_number: str = ""
    payment_details: str = ""
    payment_days: int = 30
    number_prefix: str = "INV"


def define_issuer(*, key: str, details: IssuerDetails) -> Issuer:
    """The issuer called `key`, made if it is missing; one that is there stays as the operator left it."""
    with transaction.atomic(durable=True):
        issuer, _ = Issuer.objects.get_or_create(key=key, defaults=asdict(details))
    return issuer


def define_tax(
    *, issuer_id: int, currency: str, name: str, name_ja: str, rate: Decimal, rounding: str, since: datetime
) -> TaxRule:
    """The tax on a currency from an instant on, made if that currency has none yet."""
    with transaction.atomic(durable=True):
        rule = TaxRule.objects.filter(issuer_id=issuer_id, currency=currency).first()
        if rule is None:
            rule = TaxRule.objects.create(
                issuer_id=issuer_id,
                currency=currency,
                name=name,
                name_ja=name_ja,
                rate=rate,
                rounding=rounding,
                effective=DateTimeTZRange(since, None, "[)"),
            )
    return rule
