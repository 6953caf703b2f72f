"""What was seen of tenants' token limits: thresholds that were reached, and requests that were turned away."""

from django.db import models

from core.models import PublicModel
from tenants.models import Tenant


class LimitAlert(PublicModel):
    """A share of a limit's amount was used in a window; told once. `used` is what was seen then, holds included.

    A limit that was raised meanwhile is another limit: its thresholds are told anew.
    """

    PREFIX = "lal"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="limit_alerts")
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
                fields=["tenant", "meter", "window", "window_start", "threshold_percent", "amount"],
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
