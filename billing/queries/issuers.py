"""Who writes the invoices, and which taxes their tenants owe."""

from collections.abc import Collection, Iterable
from datetime import datetime
from decimal import Decimal

from billing.models import Issuer, TaxProfile, TaxRule
from billing.rating.totals import STANDARD, Taxes, TaxTerms
from billing.states import TaxTreatment
from core.errors import Conflict
from tenants.models import Tenant


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


def list_tax_rules() -> Iterable[TaxRule]:
    """Every rule, by whom it is for and since when; a handful."""
    return TaxRule.objects.select_related("issuer").order_by("country", "currency", "category", "effective")


def tax_profiles(tenant_ids: Collection[int]) -> dict[int, TaxProfile]:
    """Where tenants are taxed, by pk; those without a profile are left out."""
    return {profile.tenant_id: profile for profile in TaxProfile.objects.filter(tenant__any_of=tenant_ids)}


def taxes_of(
    issuer: Issuer, tenants: Collection[Tenant], at: datetime, *, profiles: dict[int, TaxProfile]
) -> dict[int, Taxes]:
    """The taxes that each tenant owes on what is supplied at an instant, by category; empty where no rule says so.

    A tenant with a profile is taxed by the rules of its country alone, one without by the rules of its currency.
    """
    rules = list(TaxRule.objects.filter(issuer=issuer, effective__contains=at).order_by("currency", "pk"))
    return {tenant.pk: _taxes(rules, tenant.currency, profiles.get(tenant.pk)) for tenant in tenants}


def _taxes(rules: list[TaxRule], currency: str, profile: TaxProfile | None) -> dict[str, TaxTerms]:
    if profile is not None and profile.exempt_reason:
        return {STANDARD: _untaxed("Tax exempt", "非課税", TaxTreatment.EXEMPT, profile.exempt_reason)}
    country = profile.country if profile else ""
    # Rules for the very currency come last and so win.
    fitting = [rule for rule in rules if rule.country == country and rule.currency in ("", currency)]
    return {rule.category: _terms(rule, profile) for rule in fitting}


def _terms(rule: TaxRule, profile: TaxProfile | None) -> TaxTerms:
    if rule.reverse_charge and profile is not None and profile.tax_number:
        note = f"Reverse charge: the customer ({profile.tax_number}) accounts for the tax."
        return _untaxed(rule.name, rule.name_ja, TaxTreatment.REVERSE_CHARGE, note)
    return TaxTerms(name=rule.name, name_ja=rule.name_ja, rate=rule.rate, rounding=rule.rounding)


def _untaxed(name: str, name_ja: str, treatment: str, note: str) -> TaxTerms:
    return TaxTerms(name, name_ja, Decimal(0), "half_up", treatment, note)
