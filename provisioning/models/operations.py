"""What people follow: operations and their steps."""

from collections.abc import Collection
from typing import Self

from django.db import models
from django.db.models import Q

from core import clock
from core.models import PublicModel
from models_registry.models import Release
from models_registry.states import ReleaseState
from provisioning.models.resources import ManagedResource
from provisioning.states import OperationState, Phase
from tenants.models import Tenant


class OperationQuerySet(models.QuerySet["Operation"]):
    """Scoped reads."""

    def visible_to(self, tenant_ids: Collection[int] | None) -> Self:
        """Those of the tenants named; None means all."""
        return self if tenant_ids is None else self.filter(tenant_id__in=tenant_ids)


class Operation(PublicModel):
    """What people follow: "onboard Acme", "release support v3". Its steps are derived from resources and services."""

    PREFIX = "op"

    class Kind(models.TextChoices):
        ONBOARD = "onboard", "Onboard"
        SUSPEND = "suspend", "Suspend"
        RESUME = "resume", "Resume"
        OFFBOARD = "offboard", "Offboard"
        RELEASE = "release", "Release"
        ROLL_BACK = "roll_back", "Roll back"
        WITHDRAW = "withdraw", "Withdraw"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="operations")
    release = models.ForeignKey(Release, on_delete=models.PROTECT, null=True, related_name="operations")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    title = models.CharField(max_length=200)
    state = models.CharField(max_length=20, choices=OperationState.choices, default=OperationState.RUNNING)
    detail = models.TextField(blank=True)
    started_at = models.DateTimeField(default=clock.now)
    finished_at = models.DateTimeField(null=True)

    objects = OperationQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["tenant", "-id"], name="operation_by_tenant")]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=OperationState.values), name="operation_state_known"),
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
        return self.state in (OperationState.RUNNING, OperationState.FAILED) and not is_refused


class OperationStep(models.Model):
    """One step. `done_at` is written once; until then its state is that of its resource, or waiting.

    `began_at` is when its own work was first seen under way; steps of one `kind` are compared by it.
    """

    operation = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField()
    key = models.CharField(max_length=200)
    title = models.CharField(max_length=200)
    resource = models.ForeignKey(ManagedResource, on_delete=models.PROTECT, null=True, related_name="operation_steps")
    kind = models.CharField(max_length=40, blank=True, default="")
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
