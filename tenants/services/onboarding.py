"""Signing up, and the way to being active."""

import re
from collections.abc import Sequence
from typing import Any
from zoneinfo import available_timezones

from django.db import IntegrityError, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from core import clock
from core.actors import Actor
from core.errors import Conflict, FieldError, Invalid
from core.states import move
from events.record import record_event
from tenants.models import Tenant, TierAssignment
from tenants.queries import current_tier_version
from tenants.states import TENANT_MOVES, TenantState

SLUG = re.compile(r"[a-z](?:[a-z0-9]|-(?=[a-z0-9])){1,19}")
CURRENCY = re.compile(r"[A-Z]{3}")
TAG_TEXT = re.compile(r"[\w .:/=+@-]{1,100}")
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]")
MAX_TAGS, MAX_REGIONS = 20, 30


class TenantInvalid(Invalid):
    """One or more of the tenant's details cannot be used."""

    code = "tenant_invalid"
    title = "The tenant's details cannot be used"


class SlugTaken(Conflict):
    """The slug belongs, or once belonged, to another tenant."""

    code = "slug_taken"
    title = "Slug taken"


class ExternalIdTaken(Conflict):
    """Another tenant carries this id of the billing system."""

    code = "external_id_taken"
    title = "External id taken"


def sign_up_tenant(
    *,
    name: str,
    slug: str,
    tier_key: str,
    currency: str = "USD",
    billing_timezone: str = "UTC",
    invoice_language: str = "en",
    external_id: str | None = None,
    contact_email: str = "",
    tags: dict[str, str] | None = None,
    allowed_regions: Sequence[str] = (),
    actor: Actor,
) -> Tenant:
    """Register a tenant on the newest published version of a tier; provisioning reacts to the event.

    Raises TenantInvalid with every field that is wrong, NotFound for an unknown tier, SlugTaken (also for a slug that
    a departed tenant had) and ExternalIdTaken. Nothing is written then.
    """
    details: dict[str, Any] = {
        "name": name.strip(),
        "slug": slug,
        "currency": currency,
        "billing_timezone": billing_timezone,
        "invoice_language": invoice_language,
        "external_id": external_id or None,
        "contact_email": contact_email,
        "tags": tags or {},
        "allowed_regions": list(dict.fromkeys(allowed_regions)),
    }
    refuse_invalid(details)
    now = clock.now()
    try:
        with transaction.atomic(durable=True):
            tier_version = current_tier_version(tier_key)
            tenant = Tenant.objects.create(**details, signed_up_at=now)
            TierAssignment.objects.create(
                tenant=tenant, tier_version=tier_version, period=DateTimeTZRange(now, None, "[)")
            )
            record_event(
                "tenant.signed_up",
                tenant=tenant,
                subject=tenant,
                actor=actor,
                after={"slug": slug, "tier": tier_key, "tier_version": tier_version.number},
                data={"id": tenant.public_id, "external_id": tenant.external_id, "tier": tier_key},
            )
    except IntegrityError as error:
        raise taken(error, slug=slug, external_id=external_id) from error
    return tenant


def begin_provisioning(*, tenant_id: int, actor: Actor) -> Tenant:
    """From signed_up or provisioning_failed to provisioning; quiet when it is there already or further on."""
    with transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        if tenant.state in (TenantState.SIGNED_UP, TenantState.PROVISIONING_FAILED):
            move(tenant, to=TenantState.PROVISIONING, table=TENANT_MOVES, state_reason="")
            record_event("tenant.provisioning_started", tenant=tenant, subject=tenant, actor=actor)
    return tenant


def activate_tenant(*, tenant_id: int, actor: Actor) -> Tenant:
    """From provisioning to active, once everything promised runs; quiet when it is not provisioning."""
    with transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        if tenant.state == TenantState.PROVISIONING:
            move(tenant, to=TenantState.ACTIVE, table=TENANT_MOVES, activated_at=clock.now(), state_reason="")
            record_event(
                "tenant.activated",
                tenant=tenant,
                subject=tenant,
                actor=actor,
                data={"id": tenant.public_id, "external_id": tenant.external_id},
            )
    return tenant


def fail_provisioning(*, tenant_id: int, reason: str, actor: Actor) -> Tenant:
    """From provisioning to provisioning_failed, with the reason people will read; quiet otherwise."""
    with transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        if tenant.state == TenantState.PROVISIONING:
            move(tenant, to=TenantState.PROVISIONING_FAILED, table=TENANT_MOVES, state_reason=reason)
            record_event("tenant.provisioning_failed", tenant=tenant, subject=tenant, actor=actor, reason=reason)
    return tenant


def refuse_invalid(details: dict[str, Any]) -> None:
    """Raise TenantInvalid naming each field of `details` that cannot be used; absent fields are not judged."""
    judged = ((field, problem(details[field])) for field, problem in _PROBLEMS.items() if field in details)
    errors = [FieldError(f"/{field}", "invalid", detail) for field, detail in judged if detail]
    if errors:
        raise TenantInvalid(errors[0].detail if len(errors) == 1 else f"{len(errors)} fields are wrong.", errors=errors)


def taken(error: IntegrityError, *, slug: str, external_id: str | None) -> Exception:
    """The refusal that a uniqueness violation of a tenant stands for; the error itself when it is another one."""
    text = str(error)
    if "slug" in text:
        return SlugTaken(
            f"The slug {slug} is taken.",
            hint="Choose another one; slugs of departed tenants stay reserved.",
            errors=[FieldError("/slug", "slug_taken", f"The slug {slug} is taken.")],
        )
    if "external_id" in text:
        return ExternalIdTaken(f"Another tenant has the external id {external_id}.")
    return error


def _is_text(value: object, longest: int) -> bool:
    return isinstance(value, str) and len(value) <= longest and value.isprintable()


def _name_problem(value: object) -> str:
    usable = _is_text(value, 120) and value
    return "" if usable else "A name is 1 to 120 printable characters."


def _slug_problem(value: object) -> str:
    usable = isinstance(value, str) and SLUG.fullmatch(value)
    rule = "2 to 20 characters: small letters, digits and single hyphens, beginning with a letter."
    return "" if usable else f"A slug is {rule}"


def _currency_problem(value: object) -> str:
    usable = isinstance(value, str) and CURRENCY.fullmatch(value)
    return "" if usable else "A currency is an ISO 4217 code such as USD or JPY."


def _timezone_problem(value: object) -> str:
    return "" if value in available_timezones() else "A billing time zone is an IANA name such as Asia/Tokyo."


def _language_problem(value: object) -> str:
    return "" if value in Tenant.InvoiceLanguage.values else "The invoice language is en or ja."


def _external_id_problem(value: object) -> str:
    usable = value is None or (_is_text(value, 100) and value)
    return "" if usable else "An external id is 1 to 100 printable characters."


def _email_problem(value: object) -> str:
    usable = value == "" or (_is_text(value, 254) and re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", str(value)))
    return "" if usable else "This is no e-mail address."


def _tags_problem(value: object) -> str:
    usable = (
        isinstance(value, dict)
        and len(value) <= MAX_TAGS
        and all(isinstance(text, str) and TAG_TEXT.fullmatch(text) for pair in value.items() for text in pair)
    )
    return "" if usable else f"Tags are up to {MAX_TAGS} pairs of short texts."


def _regions_problem(value: object) -> str:
    usable = (
        isinstance(value, list) and len(value) <= MAX_REGIONS and all(REGION.fullmatch(str(name)) for name in value)
    )
    return "" if usable else f"Allowed regions are up to {MAX_REGIONS} AWS regions such as eu-central-1."


_PROBLEMS = {
    "name": _name_problem,
    "slug": _slug_problem,
    "currency": _currency_problem,
    "billing_timezone": _timezone_problem,
    "invoice_language": _language_problem,
    "external_id": _external_id_problem,
    "contact_email": _email_problem,
    "tags": _tags_problem,
    "allowed_regions": _regions_problem,
}
