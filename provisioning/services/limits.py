"""Token limits for data planes without the kit: the same windows, the same table, the same arithmetic.

The limits are those of the runtime config that the tenant's data planes follow, so that both doors agree.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from aws import connect
from aws.errors import AwsError
from aws.gateway import Held, LineAllowance, Watched, WindowUse
from core.clock import now
from core.errors import Conflict, DomainError, FieldError, Invalid
from provisioning.models import PublishedConfig
from provisioning.queries import current_config
from provisioning.runtime_config import targets_of
from provisioning.services.line_decisions import UnknownLine
from tenants.models import Tenant


class LimitExceeded(DomainError):
    """A hard token limit has no room for the request."""

    code = "limit_exceeded"
    status = 429
    title = "Token limit reached"
    retryable = True

    def __init__(self, detail: str, *, retry_after_seconds: int, line: str = "") -> None:
        wait = "Send the request again after Retry-After, or ask for fewer tokens."
        super().__init__(detail, hint="Reserve on the next line of the route, which may have room." if line else wait)
        self.retry_after_seconds = retry_after_seconds


class RequestTooLarge(Invalid):
    """The request may cost more than a whole window allows, so waiting would not help."""

    code = "request_larger_than_limit"
    title = "Larger than the limit"


class TenantNotServed(Conflict):
    """The tenant's data planes are told to answer nothing: it is not active yet, suspended, or leaving."""

    code = "tenant_not_served"
    title = "Tenant not served"


class ReservationUnknown(Invalid):
    """There is no such reservation of this tenant, or it was settled more than a day ago."""

    code = "reservation_unknown"
    title = "Reservation unknown"


def reserve_tokens(*, tenant_id: int, input_tokens: int, output_tokens: int, line: str = "") -> Held:
    """Hold what a request may cost at most, until it is settled or expires; with `line`, also out of what the tenant
    may use of that line before the next one answers.

    Raises LimitExceeded, RequestTooLarge, TenantNotServed, UnknownLine, and AwsError when the table does not answer.
    """
    tenant, document = _followed(tenant_id)
    if document is None or document["status"] != "active":
        raise TenantNotServed(
            f"{tenant.name} is {tenant.get_state_display().lower()}; its requests are not served.",
            hint="Its state says what it waits for.",
        )
    answer = connect.limit_store().reserve(
        tenant.public_id,
        document["limits"],
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        at=now(),
        allowance=_allowance_on(document, line) if line else None,
    )
    if isinstance(answer, Held):
        return answer
    if answer.retry_after_seconds is None:
        raise RequestTooLarge(answer.detail)
    raise LimitExceeded(answer.detail, retry_after_seconds=answer.retry_after_seconds, line=answer.line)


def settle_reservation(*, tenant_id: int, reservation: str, input_tokens: int, output_tokens: int) -> bool:
    """Count what the request did cost; False, and nothing changes, when it was settled before.

    Zero tokens give everything back. An expired reservation is counted all the same. Raises ReservationUnknown, and
    AwsError when the table does not answer.
    """
    tenant, document = _followed(tenant_id)
    settled = None
    if document is not None:  # who was never published reserved nothing
        settled = connect.limit_store().settle(
            tenant.public_id, reservation, input_tokens=input_tokens, output_tokens=output_tokens
        )
    if settled is None:
        raise ReservationUnknown(
            "There is no such reservation; settled ones are remembered for a day.",
            errors=[FieldError("/reservation", "reservation_unknown", "There is no such reservation.")],
        )
    return settled


def window_use(*, tenant_id: int) -> list[WindowUse] | None:
    """How full the tenant's windows are now, and then its allowances on lines; empty without any, None when the table
    does not answer."""
    tenant, document = _followed(tenant_id)
    limits = document.get("limits", {}) if document else {}
    allowances = [each for each in _allowances(document).values() if each] if document else []
    if not limits.get("windows") and not allowances:
        return []
    try:
        return connect.limit_store().use(tenant.public_id, limits, now(), allowances)
    except AwsError:
        return None


@dataclass(frozen=True, slots=True)
class Fullest:
    """The limit that a tenant is nearest to, or over."""

    meter: str
    window: str
    mode: str
    percent: int


def fullest_windows(*, tenant_ids: Collection[int]) -> dict[int, Fullest]:
    """By tenant its fullest limit now, holds included; without those that have none. Empty when the table is away."""
    configs = PublishedConfig.objects.filter(is_current=True, tenant_id__in=tenant_ids).order_by("tenant_id")
    rows = list(configs.values_list("tenant_id", "tenant__public_id", "document__limits"))
    try:
        levels = connect.limit_store().levels([Watched(public_id, limits) for _, public_id, limits in rows], now())
    except AwsError:
        return {}
    found = {}
    for (tenant_id, *_), level in zip(rows, levels, strict=True):
        use = max(level.windows, key=lambda each: each.used / each.amount, default=None)
        if use is not None:
            found[tenant_id] = Fullest(use.meter, use.window, use.mode, 100 * use.used // use.amount)
    return found


def _followed(tenant_id: int) -> tuple[Tenant, dict[str, Any] | None]:
    """The tenant, and the document that its data planes follow."""
    config = current_config(tenant_id)
    return Tenant.objects.get(pk=tenant_id), config.document if config else None


def _allowances(document: dict[str, Any]) -> dict[str, LineAllowance | None]:
    """What the tenant may use of each line that it is routed to; None where only its own limits bound it."""
    allowed = {target.line: target.allowance for _, _, target in targets_of(document)}
    return {line: LineAllowance(line, each.window, each.amount) if each else None for line, each in allowed.items()}


def _allowance_on(document: dict[str, Any], line: str) -> LineAllowance | None:
    allowances = _allowances(document)
    if line not in allowances:
        raise UnknownLine(
            f"The tenant's routes lead to {', '.join(sorted(allowances)) or 'no line'}, not to {line}.",
            errors=[FieldError("/line", "unknown_line", "No route of the tenant leads there.")],
        )
    return allowances[line]
