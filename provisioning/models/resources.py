"""What should exist in AWS, or did; and when it served."""

from typing import Self

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import F, Func, Q, Value

from core import clock
from core.models import PublicModel
from models_registry.models import AdapterVersion
from provisioning.models.lines import ServingLine
from provisioning.specs import KINDS
from provisioning.states import TRIED_AGAIN, WHAT_TO_DO, Phase, StuckReason
from tenants.models import Tenant
from tenants.scoping import TenantScoped


class ManagedResourceQuerySet(TenantScoped, models.QuerySet["ManagedResource"]):
    """Scoped and state-wise reads."""

    def living(self) -> Self:
        """Those that exist or are to exist."""
        return self.exclude(phase=Phase.GONE)


class ManagedResource(PublicModel):
    """One thing that should exist in AWS, or did. The row is committed before AWS is asked to make it.

    `slot` is its place in the plan ("ten_…/dedicated/endpoint"); several incarnations can fill a slot one after the
    other, each with its own name. `fence` counts the claims: whoever writes names the fence it claimed with, so a
    worker that lost its lease cannot write. `attempts` counts the passes over it that were begun and did not end.
    `look_again_at` and the lease are on real time, the rest on business time. `shown` is what AWS showed last of what
    others may decide there: a package's approval, by whom, and why. `aws_modified_at` is AWS's word for when it was
    last modified, as it was when the row was last seen settled.
    """

    PREFIX = "res"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, null=True, related_name="resources")
    line = models.ForeignKey(ServingLine, on_delete=models.PROTECT, null=True, related_name="resources")
    adapter_version = models.ForeignKey(AdapterVersion, on_delete=models.PROTECT, null=True, related_name="resources")
    needs = models.ManyToManyField("self", symmetrical=False, related_name="needed_by")
    kind = models.CharField(max_length=20, choices=[(kind, kind.replace("_", " ").capitalize()) for kind in KINDS])
    slot = models.CharField(max_length=200)
    slug = models.CharField(max_length=100)

    account = models.CharField(max_length=12)
    region = models.CharField(max_length=20)
    name = models.CharField(max_length=63)
    incarnation = models.PositiveIntegerField()
    identity = models.JSONField()
    identity_digest = models.CharField(max_length=64)

    is_wanted = models.BooleanField(default=True)
    settings = models.JSONField(default=dict)
    digest = models.CharField(max_length=64)
    shown = models.JSONField(default=dict)
    generation = models.PositiveBigIntegerField(default=1)
    observed_generation = models.PositiveBigIntegerField(default=0)
    sent_digest = models.CharField(max_length=64, blank=True)
    failed_digest = models.CharField(max_length=64, blank=True)

    phase = models.CharField(max_length=10, choices=Phase.choices, default=Phase.WISHED)
    aws_status = models.CharField(max_length=40, blank=True)
    aws_modified_at = models.DateTimeField(null=True)
    arn = models.CharField(max_length=200, blank=True)
    stuck_reason = models.CharField(max_length=20, choices=StuckReason.choices, default=StuckReason.NONE, blank=True)
    detail = models.TextField(blank=True)
    last_operation = models.CharField(max_length=60, blank=True)
    last_request_id = models.CharField(max_length=100, blank=True)
    failures = models.PositiveIntegerField(default=0)
    creating_sightings = models.PositiveIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)

    fence = models.PositiveBigIntegerField(default=0)
    lease_owner = models.CharField(max_length=100, null=True)
    lease_until = models.DateTimeField(null=True)
    look_again_at = models.DateTimeField(default=clock.real_now)

    ready_at = models.DateTimeField(null=True)
    gone_at = models.DateTimeField(null=True)
    phase_since = models.DateTimeField(default=clock.now)
    probed_at = models.DateTimeField(null=True)

    objects = ManagedResourceQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["look_again_at", "id"], name="resource_next", condition=~Q(phase="gone")),
            models.Index(fields=["slot", "-incarnation"], name="resource_by_slot"),
            models.Index(fields=["tenant", "-id"], name="resource_by_tenant"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["account", "region", "kind", "name"], name="resource_name_never_reused"),
            models.UniqueConstraint(
                fields=["slot", "identity_digest"],
                name="resource_one_wanted_per_slot",
                condition=Q(is_wanted=True) & ~Q(phase__in=["deleting", "gone"]),
            ),
            models.CheckConstraint(condition=Q(phase__in=Phase.values), name="resource_phase_known"),
            models.CheckConstraint(
                condition=Q(stuck_reason__in=StuckReason.values), name="resource_stuck_reason_known"
            ),
            models.CheckConstraint(
                condition=Q(lease_owner__isnull=True, lease_until__isnull=True)
                | Q(lease_owner__isnull=False, lease_until__isnull=False),
                name="resource_lease_whole",
            ),
        ]

    @property
    def is_settled(self) -> bool:
        """Whether AWS last showed it as it is wished, and nothing is the matter."""
        is_seen = self.observed_generation == self.generation
        return self.is_wanted and self.phase == Phase.READY and is_seen and not self.stuck_reason

    @property
    def what_to_do(self) -> str:
        """Advice for a resource that is stuck or held up; empty otherwise."""
        return TRIED_AGAIN if self.is_held_up else WHAT_TO_DO.get(self.stuck_reason, "")

    @property
    def is_held_up(self) -> bool:
        """Whether AWS refused or lost the last call about it, and it is tried again without anybody's help.

        `detail` then begins with the call, and says something else once AWS has answered.
        """
        return not self.stuck_reason and self.failures > 0 and self.detail.startswith(f"{self.last_operation}: ")

    @property
    def is_blocked(self) -> bool:
        """Whether AWS did not make what was asked and a new try waits, for time or for a person."""
        return bool(self.stuck_reason)


class ResourceInterval(models.Model):
    """When a resource served (business time), with how many copies: the ledger that time in service is billed from."""

    resource = models.ForeignKey(ManagedResource, on_delete=models.PROTECT, related_name="intervals")
    during = DateTimeRangeField()
    copies = models.PositiveIntegerField(default=1, db_default=1)

    class Meta:
        ordering = ["id"]
        constraints = [
            ExclusionConstraint(
                name="resource_interval_no_overlap",
                expressions=[
                    (
                        Func(F("resource_id"), F("resource_id"), Value("[]"), function="int8range"),
                        RangeOperators.OVERLAPS,
                    ),
                    ("during", RangeOperators.OVERLAPS),
                ],
            ),
        ]
