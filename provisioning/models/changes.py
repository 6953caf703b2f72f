"""A tenant's way from one tier version to another."""

from django.db import models
from django.db.models import Q

from core import clock
from core.models import PublicModel
from provisioning.states import OPEN_CHANGES, ChangeState
from tenants.models import Tenant, TierVersion


class TierChange(PublicModel):
    """One change of a tenant's tier version, with the plan that somebody agreed to.

    `cut_over_at` (business time) is since when data planes follow the new lines; the assignment changed then.
    `drain_until` (real time) is how long what traffic has just left is kept for requests under way.
    `attempts` counts the tries; each goes forward from the start.
    """

    PREFIX = "tch"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="tier_changes")
    from_version = models.ForeignKey(TierVersion, on_delete=models.PROTECT, related_name="+")
    to_version = models.ForeignKey(TierVersion, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=20, choices=ChangeState.choices, default=ChangeState.PREPARING)
    plan = models.JSONField(default=dict)
    reason = models.TextField(blank=True)
    detail = models.TextField(blank=True)
    is_cancelled = models.BooleanField(default=False)
    attempts = models.PositiveIntegerField(default=1)
    requested_at = models.DateTimeField(default=clock.now)
    prepared_at = models.DateTimeField(null=True)
    cut_over_at = models.DateTimeField(null=True)
    drain_until = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=ChangeState.values), name="tier_change_state_known"),
            models.CheckConstraint(
                condition=~Q(from_version=models.F("to_version")), name="tier_change_goes_somewhere"
            ),
            models.UniqueConstraint(
                fields=["tenant"], name="tier_change_one_open", condition=Q(state__in=OPEN_CHANGES)
            ),
        ]

    @property
    def routed_version_id(self) -> int:
        """The version whose lines traffic should be on."""
        return (
            self.to_version_id
            if self.state in (ChangeState.CUTTING_OVER, ChangeState.REMOVING)
            else (self.from_version_id)
        )

    def wished_version_ids(self) -> list[int]:
        """The versions whose lines should exist, the routed one first."""
        if self.state == ChangeState.PREPARING:
            return [self.from_version_id, self.to_version_id]
        if self.state == ChangeState.CUTTING_OVER:
            return [self.to_version_id, self.from_version_id]
        other = self.from_version_id if self.state == ChangeState.REMOVING else self.to_version_id
        return [self.routed_version_id, other] if self.is_draining else [self.routed_version_id]

    @property
    def is_draining(self) -> bool:
        """Whether requests may still be under way on what traffic has left, or is about to leave."""
        if self.cut_over_at is None:
            return False
        return self.drain_until is None or clock.real_now() < self.drain_until
