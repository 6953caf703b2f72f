"""Sums that pages and invoices read instead of buckets. They are kept by PostgreSQL together with the buckets."""

from django.db import models

from metering.meters import METERS
from metering.models.measured import METER_CHOICES, Seal
from tenants.models import Tenant

SOURCE_KINDS = [("cloudwatch", "CloudWatch"), ("events", "Usage events")]


class MeterSource(models.Model):
    """From when until when a meter counts what one of its sources says; where no row holds, CloudWatch counts.

    Only for meters that have two sources. A past that was sealed is never re-decided: see `metering.services.sources`.
    """

    meter = models.CharField(max_length=30, choices=METER_CHOICES)
    kind = models.CharField(max_length=12, choices=SOURCE_KINDS)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["meter", "starts_at"], name="meter_source_unique"),
            models.UniqueConstraint(fields=["meter"], condition=models.Q(ends_at=None), name="meter_source_one_open"),
            models.CheckConstraint(
                condition=models.Q(ends_at__isnull=True) | models.Q(ends_at__gt=models.F("starts_at")),
                name="meter_source_in_order",
            ),
            models.CheckConstraint(condition=models.Q(meter__in=[*METERS]), name="meter_source_meter_known"),
        ]


class MeterTolerance(models.Model):
    """How far two sources of a meter may differ on one day before somebody is told, in parts per million."""

    meter = models.CharField(max_length=30, choices=METER_CHOICES, unique=True)
    parts_per_million = models.PositiveIntegerField()


class RollupZone(models.Model):
    """The zone in whose days a tenant's UsageDay rows are; they are rebuilt when it changes."""

    tenant = models.OneToOneField(Tenant, on_delete=models.PROTECT, primary_key=True, related_name="+")
    timezone = models.CharField(max_length=64)


class UsageDay(models.Model):
    """What counts of a tenant's usage on one day of its billing zone; always the sum of its counted buckets."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="usage_days", db_index=False)
    day = models.DateField()
    meter = models.CharField(max_length=30, choices=METER_CHOICES)
    line = models.CharField(max_length=30)
    adapter_version = models.CharField(max_length=40, blank=True)
    quantity = models.DecimalField(max_digits=38, decimal_places=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "day", "meter", "line", "adapter_version"], name="usage_day_unique"
            ),
        ]
        indexes = [models.Index(fields=["day", "meter"], name="usage_day_by_day")]


class UsageHour(models.Model):
    """What counts of everybody's usage in one hour, per meter and line; for pages, seconds behind the buckets."""

    hour = models.DateTimeField()
    meter = models.CharField(max_length=30, choices=METER_CHOICES)
    line = models.CharField(max_length=30)
    quantity = models.DecimalField(max_digits=38, decimal_places=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["hour", "meter", "line"], name="usage_hour_unique")]


class MonthTokens(models.Model):
    """How many tokens a tenant used in a month of its days: an order for pages, minutes behind; never a sum to show."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    month = models.DateField()
    tokens = models.DecimalField(max_digits=38, decimal_places=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["month", "tenant"], name="month_tokens_unique")]


class HourDue(models.Model):
    """An hour whose UsageHour rows are behind its buckets; written by whoever changes a bucket."""

    hour = models.DateTimeField()


class SealedDay(models.Model):
    """What a seal claims of one day of the tenant's billing zone; append-only, and kept when the hours are not."""

    seal = models.ForeignKey(Seal, on_delete=models.PROTECT, related_name="days", db_index=False)
    day = models.DateField()
    meter = models.CharField(max_length=30, choices=METER_CHOICES)
    line = models.CharField(max_length=30)
    adapter_version = models.CharField(max_length=40, blank=True)
    quantity = models.DecimalField(max_digits=38, decimal_places=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["seal", "day", "meter", "line", "adapter_version"], name="sealed_day_unique"
            ),
        ]
