"""Which taxes invoices carry, and where a tenant is taxed."""

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from billing.models import TaxProfile, TaxRule
from core.actors import Actor
from core.errors import Conflict, FieldError, Invalid
from events.record import record_event
from tenants.models import Tenant

COUNTRY = re.compile(r"[A-Z]{2}")


class InvalidTax(Invalid):
    """The tax, or where a tenant is taxed, cannot be so."""

    code = "invalid_tax"
    title = "Invalid tax"


class StaleProfile(Conflict):
    """Somebody else changed the profile meanwhile."""

    code = "tax_profile_changed"
    title = "Tax profile changed"


@dataclass(frozen=True, slots=True)
class TaxDetails:
    """A rule: for customers of a `country`, or for a `currency` where customers have none stated; or for both."""

    name: str
    rate: Decimal
    country: str = ""
    currency: str = ""
    category: str = "standard"
    name_ja: str = ""
    rounding: str = "half_up"
    reverse_charge: bool = False


def define_tax(*, issuer_id: int, details: TaxDetails, since: datetime) -> TaxRule:
    """A tax from an instant on; the rule before it for the same customers and category ends there.

    Quiet when the same rule holds already. Raises InvalidTax.
    """
    if details.country and not COUNTRY.fullmatch(details.country):
        raise InvalidTax(f"{details.country!r} is no country.", hint="Use the two letters of ISO 3166, such as JP.")
    if not 0 < details.rate < 1:
        raise InvalidTax(f"{details.rate} is no share.", hint="Ten percent is 0.10; no tax is no rule.")
    fields = {name: getattr(details, name) for name in TaxDetails.__slots__}
    with transaction.atomic(durable=True):
        rules = TaxRule.objects.select_for_update(no_key=True).filter(
            issuer_id=issuer_id, country=details.country, currency=details.currency, category=details.category
        )
        current = rules.filter(effective__endswith__isnull=True).first()
        if current is not None:
            if all(getattr(current, name) == value for name, value in fields.items()):
                return current
            if current.effective.lower >= since:
                raise InvalidTax(
                    f"The rule of today begins at {current.effective.lower.isoformat()}.", hint="Begin later."
                )
            TaxRule.objects.filter(pk=current.pk).update(
                effective=DateTimeTZRange(current.effective.lower, since, "[)")
            )
        return TaxRule.objects.create(issuer_id=issuer_id, effective=DateTimeTZRange(since, None, "[)"), **fields)


def set_tax_profile(
    *,
    tenant_id: int,
    country: str,
    tax_number: str,
    exempt_reason: str,
    expected_version: int | None,
    actor: Actor,
) -> TaxProfile:
    """State where a tenant is taxed and as what; drafts follow when they are refreshed, what is final stays.

    `expected_version` is None for a tenant without a profile. Raises InvalidTax and StaleProfile.
    """
    if not COUNTRY.fullmatch(country):
        detail = "two capital letters of ISO 3166, such as JP"
        raise InvalidTax(f"/country: {detail}.", errors=[FieldError("/country", "invalid", detail)])
    said = {"country": country, "tax_number": tax_number, "exempt_reason": exempt_reason}
    with transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        profile = TaxProfile.objects.filter(tenant=tenant).first()
        if (profile.version if profile else None) != expected_version:
            raise StaleProfile("The tax profile was changed meanwhile.", hint="Read it again, then decide.")
        before = None if profile is None else {name: getattr(profile, name) for name in said}
        if profile is not None and before == said:
            return profile
        profile = profile or TaxProfile(tenant=tenant, version=0)
        for name, value in said.items():
            setattr(profile, name, value)
        profile.version += 1
        profile.save()
        record_event("tax_profile.changed", tenant=tenant, subject=tenant, actor=actor, before=before, after=said)
    return profile
