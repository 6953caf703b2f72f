"""What metering could not do, and what somebody decided about it: gaps and alarms, as rows."""

from django.db import models
from django.db.models import F, Q

from core.models import PublicModel
from metering.meters import METERS
from metering.states import EstimateState, GapState
from tenants.models import Tenant


class UsageGap(PublicModel):
    """Hours of a tenant about which nothing, or nothing final, is known although they should be.

    An accepted gap is billed as what is known of it, or that and its estimates, by the decision of `closed_by` for
    `reason`.
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


class UsageEstimate(PublicModel):
    """What a gap may hold of one meter, by one adapter version on one line; nothing of it counts until it is billed.

    `hours` of the gap are estimated, each by the same hour of the last week before the gap that is known; `basis_start`
    and `basis_end` span those.
    """

    PREFIX = "est"

    gap = models.ForeignKey(UsageGap, on_delete=models.PROTECT, related_name="estimates")
    meter = models.CharField(max_length=30)
    line = models.CharField(max_length=30)
    adapter_version = models.CharField(max_length=40, blank=True)
    quantity = models.DecimalField(max_digits=38, decimal_places=0)
    hours = models.PositiveIntegerField()
    basis_start = models.DateTimeField()
    basis_end = models.DateTimeField()
    state = models.CharField(max_length=10, choices=EstimateState.choices, default=EstimateState.PROPOSED)

    class Meta:
        ordering = ["meter", "line", "adapter_version"]
        indexes = [models.Index(fields=["gap"], condition=Q(state="billed"), name="usage_estimate_billed")]
        constraints = [
            models.UniqueConstraint(fields=["gap", "meter", "line", "adapter_version"], name="usage_estimate_unique"),
            models.CheckConstraint(condition=Q(state__in=EstimateState.values), name="usage_estimate_state_known"),
        ]

    @property
    def meter_title(self) -> str:
        """The meter's name for people."""
        return METERS[self.meter].title


class DroppedMonth(PublicModel):
    """A month whose hours are not kept any more: its days and what was sealed of it stay. Oldest first, without a gap.

    `buckets` is how many there were, `sealed_quantities` what each meter's claims of them came to.
    """

    PREFIX = "um"

    month = models.DateTimeField(unique=True)
    buckets = models.PositiveBigIntegerField()
    sealed_quantities = models.JSONField()


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
