"""Who issues the invoices: set up once, by an operator or by the seeds."""

from dataclasses import asdict, dataclass

from django.db import transaction

from billing.models import Issuer


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
