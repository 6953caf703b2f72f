"""Defining tiers. A published version never changes; a new promise is a new version."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.db import transaction

from core import clock
from core.actors import Actor
from core.errors import Conflict, FieldError, Invalid, NotFound
from events.record import record_event
from tenants.models import Tenant, Tier, TierAssignment, TierLimit, TierVersion

# The largest rank that any engine in data/engines serves, and ten years.
MOST_RANK, MOST_RETENTION_DAYS = 512, 3650


@dataclass(frozen=True, slots=True)
class TierLimits:
    """What a tier version promises; bytes are of one uploaded adapter, hours of a warm previous version.

    See `tenants.models.TierVersion` for the words.
    """

    max_adapters: int
    max_adapter_bytes: int
    max_lora_rank: int
    keep_previous_warm: bool
    warm_window_hours: int
    isolation: str = TierVersion.Isolation.POOL
    on_suspend: str = TierVersion.Suspension.KEEP
    retention_days: int = 0
    approval: str = TierVersion.Approval.NONE


@dataclass(frozen=True, slots=True)
class TokenLimit:
    """`amount` tokens of a meter per window; see `tenants.models.TierLimit` for the words."""

    meter: str
    window: str
    amount: int
    mode: str


def define_tier(
    *, key: str, name: str, position: int, limits: TierLimits, tokens: Sequence[TokenLimit] = ()
) -> TierVersion:
    """Make a tier with its first published version; one that is there already stays as it is and is answered."""
    with transaction.atomic(durable=True):
        tier, _ = Tier.objects.get_or_create(key=key, defaults={"name": name, "position": position})
        version, is_new = TierVersion.objects.get_or_create(tier=tier, number=1, defaults=asdict(limits))
        if is_new:
            TierLimit.objects.bulk_create(TierLimit(tier_version=version, **asdict(each)) for each in tokens)
            version.published_at = clock.now()  # last: from here on the database refuses changes
            version.save(update_fields=["published_at"])
    return version


class TierVersionInvalid(Invalid):
    """What the new version should promise cannot be promised."""

    code = "tier_version_invalid"
    title = "The tier version cannot be used"


class TierVersionNotPublished(Conflict):
    """Nobody can be placed on a draft."""

    code = "tier_version_not_published"
    title = "The tier version is not published"


def draft_tier_version(*, tier_key: str, limits: TierLimits, tokens: Sequence[TokenLimit], actor: Actor) -> TierVersion:
    """The next version of a tier, as a draft that nobody can be placed on yet; tenants stay where they are.

    Raises NotFound for an unknown tier and TierVersionInvalid for limits that contradict each other.
    """
    _refuse_impossible(limits, tokens)
    with transaction.atomic(durable=True):
        tier = Tier.objects.select_for_update(no_key=True).filter(key=tier_key).first()
        if tier is None:
            raise NotFound(f"There is no tier {tier_key}.")
        newest = tier.versions.order_by("-number").first()
        version = TierVersion.objects.create(tier=tier, number=newest.number + 1 if newest else 1, **asdict(limits))
        TierLimit.objects.bulk_create(TierLimit(tier_version=version, **asdict(each)) for each in tokens)
        record_event("tier_version.drafted", tenant=None, subject=version, actor=actor, after=asdict(limits))
    return version


def publish_tier_version(*, tier_version_id: int, actor: Actor) -> TierVersion:
    """Close a version to change: newcomers are placed on it, and tenants can be moved to it. Quiet when it was done."""
    with transaction.atomic(durable=True):
        version = TierVersion.objects.select_for_update(no_key=True, of=("self",)).get(pk=tier_version_id)
        if version.published_at is None:
            version.published_at = clock.now()
            version.save(update_fields=["published_at"])
            record_event(
                "tier_version.published",
                tenant=None,
                subject=version,
                actor=actor,
                after={"tier": version.tier.key, "number": version.number},
            )
    return version


def assign_tier(*, tenant_id: int, tier_version_id: int, at: datetime, reason: str, actor: Actor) -> TierAssignment:
    """From `at` on the tenant is on this version; until then it was where it was. Quiet when it is on it already.

    `at` is when its traffic really moved. Money is counted by whole buckets: rating takes the bucket of `at` as the
    first of the new version. Raises TierVersionNotPublished.
    """
    with transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        return put_on_tier(tenant, tier_version_id=tier_version_id, at=at, reason=reason, actor=actor)


def put_on_tier(tenant: Tenant, *, tier_version_id: int, at: datetime, reason: str, actor: Actor) -> TierAssignment:
    """`assign_tier` for a tenant that the caller has locked, inside the caller's transaction."""
    now_on = TierAssignment.objects.select_related("tier_version__tier").get(
        tenant=tenant, period__endswith__isnull=True
    )
    if now_on.tier_version_id == tier_version_id:
        return now_on
    wanted = TierVersion.objects.select_related("tier").get(pk=tier_version_id)
    if wanted.published_at is None:
        raise TierVersionNotPublished(f"{wanted} is a draft.", hint="Publish it first.")
    began = now_on.period.lower
    # Never empty, even when the clock was set back: a range without length would say that it never was.
    turn = max(at, began + timedelta(microseconds=1))
    TierAssignment.objects.filter(pk=now_on.pk).update(period=type(now_on.period)(began, turn, "[)"))
    made = TierAssignment.objects.create(
        tenant=tenant, tier_version=wanted, period=type(now_on.period)(turn, None, "[)")
    )
    before, after = now_on.tier_version, wanted
    record_event(
        "tenant.tier_changed",
        tenant=tenant,
        subject=tenant,
        actor=actor,
        reason=reason,
        before={"tier": before.tier.key, "version": before.number},
        after={"tier": after.tier.key, "version": after.number, "at": turn.isoformat()},
        data={"id": tenant.public_id, "external_id": tenant.external_id, "tier": after.tier.key},
    )
    return made


def _refuse_impossible(limits: TierLimits, tokens: Sequence[TokenLimit]) -> None:
    errors = []
    if limits.isolation not in TierVersion.Isolation.values:
        errors.append(FieldError("/isolation", "unknown", f"Isolation is one of {TierVersion.Isolation.values}."))
    if limits.on_suspend not in TierVersion.Suspension.values:
        errors.append(FieldError("/on_suspend", "unknown", f"On suspension: {TierVersion.Suspension.values}."))
    if limits.approval not in TierVersion.Approval.values:
        errors.append(FieldError("/approval", "unknown", f"Approval is one of {TierVersion.Approval.values}."))
    if not 1 <= limits.max_lora_rank <= MOST_RANK:
        errors.append(FieldError("/max_lora_rank", "out_of_range", f"A rank is from 1 to {MOST_RANK}."))
    if limits.retention_days > MOST_RETENTION_DAYS:
        errors.append(FieldError("/retention_days", "out_of_range", f"At most {MOST_RETENTION_DAYS} days."))
    if limits.keep_previous_warm and not limits.warm_window_hours:
        errors.append(FieldError("/warm_window_hours", "missing", "A warm previous version needs its hours."))
    windows = [(each.meter, each.window) for each in tokens]
    if len(set(windows)) < len(windows):
        errors.append(FieldError("/token_limits", "doubled", "A meter has at most one limit per window."))
    if errors:
        raise TierVersionInvalid(
            errors[0].detail if len(errors) == 1 else f"{len(errors)} fields are wrong.", errors=errors
        )
