"""What metering could not do, and what somebody decided about it: gaps and alarms, as rows."""

from django.db import models
from django.db.models import F, Q

from core.models import PublicModel
from metering.states import GapState
from tenants.models import Tenant


class UsageGap(PublicModel):
    """Hours of a tenant about which nothing, or nothing final, is known although they should be.

    An accepted gap is billed as what is known of it, by the decision of `closed_by` for `reason`.
    """

    PREFIX = "gap"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="usage_gaps")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=GapState.choices, default=GapState.OPEN)
    problem = models.TextField(blank=True)
    closed_at = models.DateTimeField(null=True)
    closed_by = models.CharField(max_length=200, blank=True)
    reason = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["state", "-id"], name="usage_gap_by_state")]
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="usage_gap_in_order"),
            models.CheckConstraint(condition=Q(state__in=GapState.values), name="usage_gap_state_known"),
            models.CheckConstraint(
                condition=~Q(state="accepted") | (~Q(reason="") & ~Q(closed_by="")),
                name="usage_gap_accepted_by_somebody",
            ),
        ]


class MeteringAlarm(PublicModel):
    """Something about metering that a person should look at; it closes by itself when it is over."""

    PREFIX = "alm"

    kind = models.CharField(max_length=20)
    key = models.CharField(max_length=200)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, null=True, related_name="+")
    text = models.CharField(max_length=500)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["key"], condition=Q(closed_at=None), name="metering_alarm_one_open")
        ]
