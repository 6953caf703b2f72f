"""What was seen of tenants' token limits: thresholds that were reached, requests that were turned away or passed on."""

from django.db import models
from django.db.models import F, Q

from core.models import PublicModel
from tenants.models import Tenant


class LimitAlert(PublicModel):
    """A share of a limit's amount was used in a window; told once. `used` is what was seen then, holds included.

    With a `line` it is what the tenant may use of that line before the next one answers. A limit that was raised
    meanwhile is another limit: its thresholds are told anew.
    """

    PREFIX = "lal"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="limit_alerts")
    line = models.CharField(max_length=30, blank=True, default="")
    meter = models.CharField(max_length=20)
    window = models.CharField(max_length=10)
    mode = models.CharField(max_length=10)
    amount = models.PositiveBigIntegerField()
    window_start = models.DateTimeField()
    window_end = models.DateTimeField()
    threshold_percent = models.PositiveSmallIntegerField()
    used = models.PositiveBigIntegerField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "line", "meter", "window", "window_start", "threshold_percent", "amount"],
                name="limit_alert_once",
            ),
        ]
        indexes = [models.Index(fields=["window_end"], name="limit_alert_running")]


class TurnedAwayHour(models.Model):
    """How often in an hour a tenant's requests were turned away: by a line, or (empty) by its own limits."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="turned_away_hours")
    line = models.CharField(max_length=30, blank=True)
    hour = models.DateTimeField()
    times = models.PositiveBigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["hour", "tenant", "line"], name="turned_away_once_per_hour"),
        ]


class DegradedMinute(models.Model):
    """How often in a minute requests of a route were passed on from a line: to another, to wait, or refused.

    `times` is the highest count that was read, `told` what of it events have told, and `told_at` when they last did.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="degraded_minutes")
    route = models.CharField(max_length=63)
    line = models.CharField(max_length=63)
    to = models.CharField(max_length=63)
    reason = models.CharField(max_length=63)
    minute = models.DateTimeField()
    times = models.PositiveBigIntegerField()
    told = models.PositiveBigIntegerField(default=0)
    told_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "minute", "route", "line", "to", "reason"], name="degraded_minute_once"
            ),
            models.CheckConstraint(condition=Q(told__lte=F("times")), name="degraded_minute_told_what_was"),
        ]
        indexes = [
            models.Index(fields=["id"], name="degraded_minute_untold", condition=Q(told__lt=F("times"))),
            models.Index(fields=["minute"], name="degraded_minute_by_time"),
        ]


class DegradeReading(models.Model):
    """How far a tenant's degrades were read: the mark that its data planes had set, and up to when."""

    tenant = models.OneToOneField(Tenant, on_delete=models.PROTECT, related_name="degrade_reading", primary_key=True)
    mark = models.PositiveBigIntegerField()
    read_until = models.DateTimeField()
