"""What people follow: operations and their steps."""

from django.db import models
from django.db.models import Q

from core import clock
from core.models import PublicModel
from models_registry.models import Release
from models_registry.states import ReleaseState
from provisioning.models.changes import TierChange
from provisioning.models.resources import ManagedResource
from provisioning.states import ChangeState, OperationState, Phase
from tenants.models import Tenant
from tenants.scoping import TenantScoped


class OperationQuerySet(TenantScoped, models.QuerySet["Operation"]):
    """Scoped reads."""


class Operation(PublicModel):
    """What people follow: "onboard Acme", "release support v3". Its steps are derived from resources and services.

    While `held_at` is set and the operation is open, nothing more is begun for its tenant; what AWS was asked for ends.
    """

    PREFIX = "op"

    class Kind(models.TextChoices):
        ONBOARD = "onboard", "Onboard"
        SUSPEND = "suspend", "Suspend"
        RESUME = "resume", "Resume"
        OFFBOARD = "offboard", "Offboard"
        RELEASE = "release", "Release"
        ROLL_BACK = "roll_back", "Roll back"
        WITHDRAW = "withdraw", "Withdraw"
        CHANGE_TIER = "change_tier", "Change tier"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="operations")
    release = models.ForeignKey(Release, on_delete=models.PROTECT, null=True, related_name="operations")
    tier_change = models.OneToOneField(TierChange, on_delete=models.PROTECT, null=True, related_name="operation")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    title = models.CharField(max_length=200)
    state = models.CharField(max_length=20, choices=OperationState.choices, default=OperationState.RUNNING)
    detail = models.TextField(blank=True)
    started_at = models.DateTimeField(default=clock.now)
    finished_at = models.DateTimeField(null=True)
    started_by = models.CharField(max_length=200, blank=True, default="")
    held_at = models.DateTimeField(null=True)
    held_by = models.CharField(max_length=200, blank=True, default="")
    hold_reason = models.TextField(blank=True, default="")

    objects = OperationQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["tenant", "-id"], name="operation_by_tenant")]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=OperationState.values), name="operation_state_known"),
            models.CheckConstraint(
                condition=Q(kind="change_tier", tier_change__isnull=False)
                | (~Q(kind="change_tier") & Q(tier_change__isnull=True)),
                name="operation_tier_change_has_its_row",
            ),
            models.UniqueConstraint(
                fields=["tenant", "kind"],
                name="operation_one_open_of_a_kind",
                condition=Q(release__isnull=True, state__in=["running", "failed"]),
            ),
            models.UniqueConstraint(
                fields=["release"], name="operation_one_per_release", condition=Q(release__isnull=False)
            ),
        ]

    @property
    def is_retryable(self) -> bool:
        """Whether it can still be tried again: it has not ended, and its release, if it has one, was not refused."""
        is_refused = self.release is not None and self.release.state == ReleaseState.REFUSED
        return self.is_open and not is_refused

    @property
    def is_open(self) -> bool:
        """Whether it has not ended; one that failed can still be tried again."""
        return self.state in (OperationState.RUNNING, OperationState.FAILED)

    @property
    def is_held(self) -> bool:
        """Whether somebody told it to wait."""
        return self.held_at is not None and self.is_open

    @property
    def is_holdable(self) -> bool:
        """Whether it can be told to wait: a suspension and a resumption are one publish, which nothing should delay."""
        publishes_only = self.kind in (self.Kind.SUSPEND, self.Kind.RESUME)
        return self.state == OperationState.RUNNING and self.held_at is None and not publishes_only

    @property
    def why_not_cancellable(self) -> str:
        """Why it cannot be cancelled; empty when it can."""
        if self.state == OperationState.FAILED and self.kind == self.Kind.CHANGE_TIER:
            return "The tenant is back on its old tier already; nothing is left to undo."
        if not self.is_open or (self.release is not None and self.release.state != ReleaseState.PENDING):
            return "It has ended; ask for the opposite instead."
        if self.kind == self.Kind.OFFBOARD:
            return "A departure cannot be undone: access is revoked and resources are being deleted. It can be held."
        if self.tier_change is not None and self.tier_change.state == ChangeState.REMOVING:
            return "Traffic has moved and the old resources go; change the tier back instead."
        if self.tier_change is not None and self.tier_change.state == ChangeState.RETURNING:
            return "It goes back already."
        return ""


class OperationStep(models.Model):
    """One step. `done_at` is written once; until then its state is that of its resource, or waiting.

    `began_at` is when its own work was first seen under way; steps of one `kind` are compared by it. `attempts` counts
    the tries: one, and one more for each call about its resource that AWS refused or lost.
    """

    operation = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField()
    key = models.CharField(max_length=200)
    title = models.CharField(max_length=200)
    resource = models.ForeignKey(ManagedResource, on_delete=models.PROTECT, null=True, related_name="operation_steps")
    kind = models.CharField(max_length=40, blank=True, default="")
    attempts = models.PositiveIntegerField(default=0)
    began_at = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["position", "id"]
        indexes = [
            models.Index(
                fields=["kind", "-done_at"],
                name="operation_step_timed",
                condition=Q(began_at__isnull=False, done_at__isnull=False),
            )
        ]
        constraints = [models.UniqueConstraint(fields=["operation", "key"], name="operation_step_key_unique")]

    @property
    def state(self) -> str:
        """done, stuck, running or waiting; at the time of reading."""
        if self.done_at:
            return "done"
        if self.resource and self.resource.stuck_reason:
            return "stuck"
        if self.resource and self.resource.phase not in (Phase.WISHED, Phase.GONE):
            return "running"
        return "waiting"
