"""/tenants/{tenant}/usage: what was counted, day by day."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import InvalidParameter, Query
from api.endpoint import ApiView, endpoint
from core import clock
from core.periods import month_containing
from metering.meters import METERS
from metering.queries import usage_by_day
from tenants.queries import get_tenant

LONGEST_DAYS = 366


class UsageQuery(Query):
    """Which days; both included, in the tenant's billing time zone."""

    first_day = serializers.DateField(required=False, help_text="The first of the current month by default.")
    last_day = serializers.DateField(required=False, help_text="The last of the current month by default.")
    meter = serializers.ChoiceField(choices=[*METERS], required=False)


class UsageDayOut(serializers.Serializer[Any]):
    """What one adapter version used of one meter on one serving line on one day."""

    day = serializers.DateField()
    meter = serializers.CharField()
    line = serializers.CharField()
    adapter_version = serializers.CharField(allow_blank=True)
    quantity = serializers.IntegerField()


class UsageOut(serializers.Serializer[Any]):
    """Usage by day; newer hours may still grow until they are settled."""

    tenant = serializers.CharField()
    timezone = serializers.CharField()
    first_day = serializers.DateField()
    last_day = serializers.DateField()
    totals = serializers.DictField(child=serializers.IntegerField(), help_text="Per meter.")
    days = UsageDayOut(many=True)


class UsageByDay(ApiView):
    """Usage of one tenant."""

    @endpoint("get_usage", scope="usage.view", query=UsageQuery, reply=UsageOut)
    def get(self, request: Request, tenant: str) -> Response:
        """Read a tenant's usage by day, meter, serving line and adapter version."""
        found = get_tenant(tenant, tenant_ids=self.visible_tenants)
        zone = ZoneInfo(found.billing_timezone)
        first, last = self._days(found.billing_timezone)
        rows = usage_by_day(
            tenant_ids=[found.pk],
            start=datetime(first.year, first.month, first.day, tzinfo=zone).astimezone(UTC),
            end=_midnight_after(last, zone),
            timezone=found.billing_timezone,
        )
        meter = self.query.get("meter")
        days = [row for row in rows if meter in (None, row.meter)]
        totals: dict[str, int] = {}
        for row in days:
            totals[row.meter] = totals.get(row.meter, 0) + row.quantity
        answer = {"tenant": found.public_id, "timezone": found.billing_timezone, "first_day": first, "last_day": last}
        return self.reply(UsageOut, answer | {"totals": totals, "days": days})

    def _days(self, timezone: str) -> tuple[date, date]:
        month = month_containing(clock.now(), timezone)
        zone = ZoneInfo(timezone)
        first = self.query.get("first_day") or month.start.astimezone(zone).date()
        last = self.query.get("last_day") or (month.end - timedelta(microseconds=1)).astimezone(zone).date()
        if not timedelta(0) <= last - first < timedelta(days=LONGEST_DAYS):
            raise InvalidParameter(
                f"{first} to {last} is not a stretch of 1 to {LONGEST_DAYS} days.",
                hint="Give first_day and last_day, both included.",
            )
        return first, last


def _midnight_after(day: date, zone: ZoneInfo) -> datetime:
    after = day + timedelta(days=1)
    return datetime(after.year, after.month, after.day, tzinfo=zone).astimezone(UTC)
