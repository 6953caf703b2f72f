"""Looking at every tenant's token counters: thresholds are told once, what was turned away is kept by the hour, and
degrades are told as they come.

Minutes are not told of: a minute is over before anybody could do something, and its refusals are counted here.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F

from aws import connect
from aws.gateway import Level, LineAllowance, TurnedAway, Watched, WindowUse
from core import clock
from core.actors import SYSTEM
from core.locks import advisory_lock
from events.record import Happening, record_events
from provisioning.models import LimitAlert, PublishedConfig, TierRoute, TurnedAwayHour
from provisioning.services.degrade_watch import read_degrades, tell_degrades
from tenants.models import Tenant

TOLD_OF = ("day", "month")
TENANTS_AT_ONCE = 200
KEPT = timedelta(days=35)

LineOfTier = tuple[str, int | None, str]  # its name, and the tokens that may be used of it in a window


@dataclass(frozen=True, slots=True)
class Reached:
    """A threshold of a limit, or of an allowance on a line, that a tenant has reached."""

    tenant_id: int
    use: WindowUse
    percent: int

    @property
    def key(self) -> tuple[Any, ...]:
        """What is told once."""
        use = self.use
        return self.tenant_id, use.line, use.meter, use.window, use.starts_at, self.percent, use.amount


def watch_limits() -> list[LimitAlert]:
    """Look at the counters of every active tenant; the alerts that are new. Again changes nothing.

    Per 200 tenants three statements, and of DynamoDB one read of 100 items for about 20 tenants and one for each tenant
    whose data planes degraded requests since the last look. Raises AwsError when the table does not answer; what was
    seen until then is kept.
    """
    now = clock.now()
    told: list[LimitAlert] = []
    for batch in _batches():
        levels = connect.limit_store().levels([watched for _, watched in batch], now)
        seen = [(tenant_id, level) for (tenant_id, _), level in zip(batch, levels, strict=True)]
        _keep_turned_away(seen)
        told += _tell(list(_reached(seen)))
        read_degrades({tenant_id: level.degrades_mark for tenant_id, level in seen})
    tell_degrades()
    TurnedAwayHour.objects.filter(hour__lt=now - KEPT).delete()
    return told


def _batches() -> Iterator[list[tuple[int, Watched]]]:
    """Active tenants with what is to be looked at of them, by id."""
    configs = PublishedConfig.objects.filter(is_current=True, document__status="active").order_by("tenant_id")
    last = 0
    while True:
        rows = list(
            configs.filter(tenant_id__gt=last).values_list("tenant_id", "tenant__public_id", "document__limits")[
                :TENANTS_AT_ONCE
            ]
        )
        if not rows:
            return
        routes = _routes_of([tenant_id for tenant_id, *_ in rows])
        yield [(pk, _watched(public_id, limits, routes.get(pk, []))) for pk, public_id, limits in rows]
        last = rows[-1][0]


def _watched(public_id: str, limits: dict[str, Any], routes: Sequence[LineOfTier]) -> Watched:
    allowances = (LineAllowance(line, window, tokens) for line, tokens, window in routes if tokens is not None)
    return Watched(public_id, limits, tuple(line for line, *_ in routes), tuple(allowances))


def _routes_of(tenant_ids: Sequence[int]) -> dict[int, list[LineOfTier]]:
    """By tenant the lines of its tier, with what it may use of them."""
    found: dict[int, list[LineOfTier]] = {}
    routes = TierRoute.objects.filter(
        tier_version__assignments__tenant_id__in=tenant_ids, tier_version__assignments__period__contains=clock.now()
    )
    of_whom = F("tier_version__assignments__tenant_id")
    columns = ("tenant", "line__name", "allowance_tokens", "allowance_window")
    for tenant_id, *route in routes.annotate(tenant=of_whom).values_list(*columns):
        found.setdefault(tenant_id, []).append((route[0], route[1], route[2]))
    return found


def _reached(seen: Iterable[tuple[int, Level]]) -> Iterator[Reached]:
    for tenant_id, level in seen:
        for use in level.windows:
            if use.window in TOLD_OF:
                for percent in settings.ENV.limit_alert_percents:
                    if use.used * 100 >= use.amount * percent:
                        yield Reached(tenant_id, use, percent)


def _tell(reached: Sequence[Reached]) -> list[LimitAlert]:
    if not reached:
        return []
    with transaction.atomic(durable=True):
        advisory_lock("provisioning.limit_alerts")  # two sweeps at once would tell twice
        standing = set(
            LimitAlert.objects.filter(
                tenant_id__in={each.tenant_id for each in reached},
                window_start__in={each.use.starts_at for each in reached},
            ).values_list("tenant_id", "line", "meter", "window", "window_start", "threshold_percent", "amount")
        )
        new = [each for each in reached if each.key not in standing]
        tenants = Tenant.objects.in_bulk({each.tenant_id for each in new})
        alerts = LimitAlert.objects.bulk_create(_alert(each, tenants[each.tenant_id]) for each in new)
        record_events("limit.threshold_reached", [_happening(alert) for alert in alerts], actor=SYSTEM)
    return alerts


def _alert(each: Reached, tenant: Tenant) -> LimitAlert:
    use = each.use
    return LimitAlert(
        tenant=tenant,
        line=use.line,
        meter=use.meter,
        window=use.window,
        mode=use.mode,
        amount=use.amount,
        window_start=use.starts_at,
        window_end=use.ends_at,
        threshold_percent=each.percent,
        used=use.used,
    )


def _happening(alert: LimitAlert) -> Happening:
    limit = {
        "meter": alert.meter,
        "window": alert.window,
        "mode": alert.mode,
        "amount": alert.amount,
        "line": alert.line or None,
    }
    seen = {
        "used": alert.used,
        "threshold_percent": alert.threshold_percent,
        "window_start": alert.window_start.isoformat(),
        "window_end": alert.window_end.isoformat(),
    }
    tenant = alert.tenant
    data = {"tenant": tenant.public_id, "external_id": tenant.external_id, "limit": limit, **seen}
    return Happening(tenant, alert, after=limit | seen, data=data)


def _keep_turned_away(seen: Iterable[tuple[int, Level]]) -> None:
    """The counters only grow, so the newest reading of an hour is the truth about it."""
    rows = [_hour(tenant_id, away) for tenant_id, level in seen for away in level.turned_away]
    if rows:
        TurnedAwayHour.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["hour", "tenant", "line"], update_fields=["times"]
        )


def _hour(tenant_id: int, away: TurnedAway) -> TurnedAwayHour:
    return TurnedAwayHour(tenant_id=tenant_id, line=away.line, hour=away.hour, times=away.times)
