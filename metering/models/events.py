"""Usage that others report: one row per event for ever, and what of it the buckets do not hold yet.

An event's id is unique for ever, over all months, so its table cannot be partitioned by month: it is partitioned by the
hash of tenant and id, where the primary key is unique over all parts. A row is hardly wider than a table of ids alone
would be.
"""

from django.db import models

from core.models import PublicModel
from metering.models.measured import METER_CHOICES
from tenants.models import Tenant


class UsageSeries(models.Model):
    """What an event counts towards; events name it by number."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="usage_series", db_index=False)
    meter = models.CharField(max_length=30, choices=METER_CHOICES)
    line = models.CharField(max_length=30)
    adapter_version = models.CharField(max_length=40)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "meter", "line", "adapter_version"], name="usage_series_unique")
        ]


class UsageBatch(PublicModel):
    """One accepted request with events: who sent it, and how many of them were new."""

    PREFIX = "ub"

    reported_by = models.CharField(max_length=200)
    reported_by_ref = models.CharField(max_length=200)
    request_id = models.CharField(max_length=100, blank=True)
    accepted = models.PositiveIntegerField()


class UsageEvent(models.Model):
    """Something that was used once; append-only.

    `tenant_id`, `series_id` and `batch_id` name rows without foreign keys: to check three of them per event would take
    longer than to write it.
    """

    pk = models.CompositePrimaryKey("tenant_id", "event_id")
    tenant_id = models.BigIntegerField()
    event_id = models.CharField(max_length=64)
    series_id = models.BigIntegerField()
    batch_id = models.BigIntegerField()
    occurred_at = models.DateTimeField()
    quantity = models.BigIntegerField()


class EventDelta(models.Model):
    """What a batch adds to a quarter of an hour of a series, until it is folded into the bucket and deleted."""

    series = models.ForeignKey(UsageSeries, on_delete=models.PROTECT, related_name="+", db_index=False)
    quarter = models.DateTimeField()
    quantity = models.DecimalField(max_digits=38, decimal_places=0)
