"""The wallet: credit that a tenant paid in advance, granted, paid back, expired. Drawing it is `drawing`.

Every movement is an entry of an append-only ledger; what remains of a grant follows from its entries, by trigger.
"""

from datetime import datetime
from decimal import Decimal

from django.db import transaction

from billing.content import money_text
from billing.models import CreditEntry, CreditGrant
from billing.states import CreditEntryKind
from core import clock
from core.actors import SYSTEM, Actor
from core.errors import Conflict, FieldError, Invalid
from core.money import round_money
from events.record import Happening, record_event, record_events
from tenants.models import Tenant

# A sweep's bite; what is left is the next sweep's.
EXPIRE_AT_ONCE = 500


class InvalidGrant(Invalid):
    """The credit cannot be granted like that."""

    code = "invalid_credit_grant"
    title = "Invalid credit grant"


class ReferenceReused(Conflict):
    """A grant with other terms has this reference already."""

    code = "credit_reference_reused"
    title = "Reference used already"


class CreditExhausted(Conflict):
    """There is less left of the grant than was asked for."""

    code = "credit_exhausted"
    title = "Not enough credit left"


def grant_credit(
    *, tenant_id: int, amount: Decimal, expires_at: datetime | None, reference: str, reason: str, actor: Actor
) -> CreditGrant:
    """Credit a tenant in its own currency; `reference` names the payment, so that it is credited once.

    Answers the grant that is there when it is the same. Raises InvalidGrant and ReferenceReused.
    """
    now = clock.now()
    with transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        found = CreditGrant.objects.filter(tenant=tenant, reference=reference).first()
        if found is not None:
            if (found.amount, found.expires_at) != (amount, expires_at):
                raise ReferenceReused(
                    f"{reference} granted {money_text(found.amount, found.currency)} {found.currency} already.",
                    hint="Use the reference of this payment, or read the grant that is there.",
                )
            return found
        _refuse_impossible(tenant, amount, expires_at, now)
        grant = CreditGrant.objects.create(
            tenant=tenant,
            currency=tenant.currency,
            amount=amount,
            expires_at=expires_at,
            reference=reference,
            reason=reason,
        )
        _enter(grant, CreditEntryKind.GRANT, amount, actor, reason)
        _tell("credit.granted", grant, amount, actor, reason)
    grant.refresh_from_db()
    return grant


def refund_credit(*, grant_id: int, amount: Decimal | None, reason: str, actor: Actor) -> CreditGrant:
    """Record that `amount` of a grant, or all that is left of it, was paid back to the tenant; no money is moved.

    Raises CreditExhausted and InvalidGrant.
    """
    with transaction.atomic(durable=True):
        grant = (
            CreditGrant.objects.select_for_update(of=("self",), no_key=True).select_related("tenant").get(pk=grant_id)
        )
        wanted = grant.remaining if amount is None else amount
        if not wanted.is_finite() or wanted < 0 or wanted != round_money(wanted, grant.currency):
            detail = f"not an amount in {grant.currency}"
            raise InvalidGrant(f"/amount: {detail}.", errors=[FieldError("/amount", "invalid", detail)])
        if not wanted or wanted > grant.remaining:
            raise CreditExhausted(
                f"{money_text(grant.remaining, grant.currency)} {grant.currency} of {grant.public_id} are left.",
                hint="Lower the amount; what was drawn by a void invoice comes back when it is voided.",
            )
        _enter(grant, CreditEntryKind.REFUND, -wanted, actor, reason)
        _tell("credit.refunded", grant, wanted, actor, reason)
    grant.refresh_from_db()
    return grant


def expire_credits(*, as_of: datetime | None = None, actor: Actor = SYSTEM) -> list[CreditGrant]:
    """Write off what is left of grants whose time is over; answers them. Safe to run at any time and twice at once."""
    at = as_of or clock.now()
    with transaction.atomic(durable=True):
        due = CreditGrant.objects.select_for_update(of=("self",), no_key=True, skip_locked=True)
        rows = due.filter(remaining__gt=0, expires_at__lte=at).select_related("tenant").order_by("pk")
        grants = list(rows[:EXPIRE_AT_ONCE])
        CreditEntry.objects.bulk_create(
            CreditEntry(
                grant=grant,
                tenant_id=grant.tenant_id,
                kind=CreditEntryKind.EXPIRY,
                amount=-grant.remaining,
                actor_name=actor.name,
            )
            for grant in grants
        )
        happenings = [_happening(grant, grant.remaining, "") for grant in grants]
        record_events("credit.expired", happenings, actor=actor)
    return grants


def _refuse_impossible(tenant: Tenant, amount: Decimal, expires_at: datetime | None, now: datetime) -> None:
    errors = []
    if not amount.is_finite() or amount <= 0 or amount != round_money(amount, tenant.currency):
        errors.append(FieldError("/amount", "invalid", f"not an amount above zero in {tenant.currency}"))
    if expires_at is not None and expires_at <= now:
        errors.append(FieldError("/expires_at", "in_the_past", "credit expires in the future"))
    if errors:
        raise InvalidGrant(f"{errors[0].pointer}: {errors[0].detail}.", errors=errors)


def _enter(grant: CreditGrant, kind: CreditEntryKind, amount: Decimal, actor: Actor, reason: str) -> None:
    CreditEntry.objects.bulk_create(
        [
            CreditEntry(
                grant=grant,
                tenant_id=grant.tenant_id,
                kind=kind,
                amount=amount,
                reason=reason,
                actor_name=actor.name,
            )
        ]
    )


def _tell(name: str, grant: CreditGrant, amount: Decimal, actor: Actor, reason: str) -> None:
    said = _happening(grant, amount, reason)
    record_event(name, tenant=said.tenant, subject=grant, actor=actor, reason=reason, data=said.data)


def _happening(grant: CreditGrant, amount: Decimal, reason: str) -> Happening:
    data = {
        "id": grant.public_id,
        "tenant": grant.tenant.public_id,
        "external_id": grant.tenant.external_id,
        "amount": {"amount": money_text(amount, grant.currency), "currency": grant.currency},
        "reference": grant.reference,
    }
    return Happening(tenant=grant.tenant, subject=grant, reason=reason, data=data)
