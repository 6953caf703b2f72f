"""Who writes the invoices, and which tax a period carries."""

from datetime import datetime

from billing.models import Issuer, TaxRule
from billing.rating.totals import TaxTerms
from core.errors import Conflict


class NoIssuer(Conflict):
    """Nobody is set up to issue invoices."""

    code = "no_issuer"
    title = "No issuer"


def the_issuer() -> Issuer:
    """The company that issues invoices. Raises NoIssuer on an installation that has none yet."""
    issuer = Issuer.objects.order_by("pk").first()
    if issuer is None:
        raise NoIssuer("No issuer of invoices is set up.", hint="Run `manage.py seed_rate_cards`, then edit its row.")
    return issuer


def tax_terms(issuer: Issuer, currency: str, at: datetime) -> TaxTerms | None:
    """The tax on what is supplied in a currency at an instant; None where no rule says so."""
    rule = TaxRule.objects.filter(issuer=issuer, currency=currency, effective__contains=at).first()
    if rule is None:
        return None
    return TaxTerms(name=rule.name, name_ja=rule.name_ja, rate=rule.rate, rounding=rule.rounding)
