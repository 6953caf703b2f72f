"""Discounts: agreed on from an instant on, ended at one; what was billed under them stays."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from billing.models import Discount
from core import clock
from core.actors import Actor
from core.errors import Conflict, FieldError, Invalid
from core.money import round_money
from events.record import record_event
from metering.meters import METERS
from tenants.models import Tenant


class InvalidDiscount(Invalid):
    """The discount cannot be so; `errors` names each thing that is wrong."""

    code = "invalid_discount"
    title = "Invalid discount"


class DiscountEnded(Conflict):
    """It ends earlier already, or the end is in the past."""

    code = "discount_ended"
    title = "Discount ended"


@dataclass(frozen=True, slots=True)
class DiscountDetails:
    """What is agreed on. `kind` is percent (value 12.5 is 12.5 %) or fixed (an amount per billing month)."""

    name: str
    kind: str
    value: Decimal
    starts_at: datetime
    ends_at: datetime | None = None
    name_ja: str = ""
    meters: Sequence[str] = ()
    rate_keys: Sequence[str] = ()


def agree_discount(*, tenant_id: int, details: DiscountDetails, reason: str, actor: Actor) -> Discount:
    """Give a tenant a discount. It holds for drafts that are written from now on. Raises InvalidDiscount."""
    with transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        _refuse_impossible(tenant, details)
        discount = Discount.objects.create(
            tenant=tenant,
            name=details.name,
            name_ja=details.name_ja,
            kind=details.kind,
            value=details.value,
            currency=tenant.currency,
            meters=sorted(set(details.meters)),
            rate_keys=sorted(set(details.rate_keys)),
            reason=reason,
            effective=DateTimeTZRange(details.starts_at, details.ends_at, "[)"),
        )
        record_event("discount.agreed", tenant=tenant, subject=discount, actor=actor, reason=reason)
    return discount


def end_discount(*, discount_id: int, ends_at: datetime, reason: str, actor: Actor) -> Discount:
    """Let a discount end, now or later and before its own end. Raises DiscountEnded."""
    with transaction.atomic(durable=True):
        rows = Discount.objects.select_for_update(of=("self",), no_key=True).select_related("tenant")
        discount = rows.get(pk=discount_id)
        start, end = discount.effective.lower, discount.effective.upper
        if ends_at < clock.now() or ends_at <= start or (end is not None and ends_at >= end):
            raise DiscountEnded(
                f"{discount.name} runs from {start.isoformat()} to {end.isoformat() if end else 'further notice'}.",
                hint="Give it an end that is in the future, after its start and before its own end.",
            )
        discount.effective, discount.version = DateTimeTZRange(start, ends_at, "[)"), discount.version + 1
        discount.save(update_fields=["effective", "version"])
        record_event("discount.ended", tenant=discount.tenant, subject=discount, actor=actor, reason=reason)
    return discount


def _refuse_impossible(tenant: Tenant, details: DiscountDetails) -> None:
    errors = []
    if details.kind not in Discount.Kind.values:
        errors.append(FieldError("/kind", "invalid_choice", f"one of {', '.join(Discount.Kind.values)}"))
    if not details.value.is_finite() or details.value <= 0:
        errors.append(FieldError("/value", "out_of_range", "a discount is more than nothing"))
    elif details.kind == Discount.Kind.PERCENT and details.value > 100:
        errors.append(FieldError("/value", "out_of_range", "at most 100 percent"))
    elif details.kind == Discount.Kind.FIXED and details.value != round_money(details.value, tenant.currency):
        errors.append(FieldError("/value", "invalid", f"not an amount in {tenant.currency}"))
    if details.ends_at is not None and details.ends_at <= details.starts_at:
        errors.append(FieldError("/ends_at", "invalid", "a discount ends after it starts"))
    unknown = sorted(set(details.meters) - set(METERS))
    if unknown:
        errors.append(FieldError("/meters", "unknown", f"{unknown[0]!r} is no meter; one of {', '.join(METERS)}"))
    if errors:
        raise InvalidDiscount(f"{errors[0].pointer}: {errors[0].detail}.", errors=errors)
