"""Tier versions with everything that makes them: promises, limits, lines, prices, and who is on them."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Prefetch, Q, QuerySet

from billing.models import TierPrice
from core import clock
from core.errors import NotFound
from provisioning.models import TierRoute
from tenants.models import TierVersion
from tenants.queries import PROMISES
from tenants.states import LEAVING


def list_tier_versions(*, tenant_ids: Collection[int] | None, tier: str | None = None) -> QuerySet[TierVersion]:
    """Versions, newest first, with limits, lines, current prices and `tenant_count` (those that have not left).

    Drafts and counts are for those who may see all tenants; others find nothing.
    """
    visible = TierVersion.objects.all() if tenant_ids is None else TierVersion.objects.none()
    routes = TierRoute.objects.select_related("line").order_by("position")
    prices = TierPrice.objects.filter(effective__contains=clock.now()).select_related("rate_card")
    on_it = Q(assignments__period__contains=clock.now()) & ~Q(assignments__tenant__state__in=LEAVING)
    versions = visible.select_related("tier").annotate(tenant_count=Count("assignments", filter=on_it))
    related = ("token_limits", Prefetch("routes", queryset=routes), Prefetch("prices", queryset=prices))
    versions = versions.prefetch_related(*related).order_by("-pk")
    return versions.filter(tier__key=tier) if tier else versions


def get_tier_version(ref: str, *, tenant_ids: Collection[int] | None) -> TierVersion:
    """By public id. Raises NotFound."""
    version = list_tier_versions(tenant_ids=tenant_ids).filter(public_id=ref).first()
    if version is None:
        raise NotFound(f"There is no tier version {ref}.")
    return version


@dataclass(frozen=True, slots=True)
class VersionDifference:
    """One promise that differs between a version and the one before it."""

    name: str
    before: Any
    after: Any


def difference(before: TierVersion, after: TierVersion) -> list[VersionDifference]:
    """What a later version promises otherwise, its lines, limits and cards included; both as `list_tier_versions` reads
    them."""
    pairs = [(name, getattr(before, name), getattr(after, name)) for name in PROMISES]
    pairs += [(name, tell(before), tell(after)) for name, tell in _TOLD.items()]
    return [VersionDifference(name, old, new) for name, old, new in pairs if old != new]


def _limits(version: TierVersion) -> str:
    limits = sorted((each.window, each.meter, each.amount, each.mode) for each in version.token_limits.all())
    return ", ".join(f"{amount:,} {meter} a {window} ({mode})" for window, meter, amount, mode in limits)


def _lines(version: TierVersion) -> str:
    return ", ".join(route.line.name for route in version.routes.all())


def _cards(version: TierVersion) -> str:
    return ", ".join(sorted(str(price.rate_card) for price in version.prices.all()))


_TOLD = {"lines": _lines, "token limits": _limits, "rate cards": _cards}
