"""Serving lines, the resources that make them real, what was published to data planes, and what people follow."""

from collections.abc import Collection
from typing import Self

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import F, Func, Q, Value

from core import clock
from core.models import PublicModel
from models_registry.models import AdapterVersion, Release, ServingProfile
from models_registry.states import ReleaseState
from provisioning.call_buckets import CallBucket as CallBucket
from provisioning.findings import InventoryFinding as InventoryFinding
from provisioning.planner.catalogue import TABLES
from provisioning.specs import KINDS
from provisioning.states import TRIED_AGAIN, WHAT_TO_DO, OperationState, Phase, StuckReason
from tenants.models import Tenant, TierVersion


class Scope(models.TextChoices):
    """Whether something is shared by all tenants of a line or each has its own."""

    SHARED = "shared", "Shared"
    TENANT = "tenant", "Each tenant its own"


class ServingLine(PublicModel):
    """A named way to answer: which profile, on which instances, shared or not. Its name is a metric dimension."""

    PREFIX = "line"

    class Kind(models.TextChoices):
        HOSTED = "hosted", "Hosted"

    name = models.SlugField(max_length=30, unique=True)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.HOSTED)
    profile = models.ForeignKey(ServingProfile, on_delete=models.PROTECT, related_name="lines")
    endpoint_scope = models.CharField(max_length=10, choices=Scope.choices)
    component_scope = models.CharField(max_length=10, choices=Scope.choices)
    instance_type = models.CharField(max_length=40)
    instance_count = models.PositiveIntegerField()
    max_instance_count = models.PositiveIntegerField()
    copies = models.PositiveIntegerField()
    region = models.CharField(max_length=20)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(max_instance_count__gte=F("instance_count")) & Q(instance_count__gte=1),
                name="serving_line_instances_in_order",
            ),
            models.CheckConstraint(
                condition=~Q(endpoint_scope="tenant", component_scope="shared"),
                name="serving_line_shared_component_on_shared_endpoint",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class TierRoute(models.Model):
    """Which lines a tier version serves on, in order."""

    tier_version = models.ForeignKey(TierVersion, on_delete=models.PROTECT, related_name="routes")
    position = models.PositiveSmallIntegerField()
    line = models.ForeignKey(ServingLine, on_delete=models.PROTECT, related_name="routes")

    class Meta:
        ordering = ["tier_version_id", "position"]
        constraints = [
            models.UniqueConstraint(fields=["tier_version", "position"], name="tier_route_position_unique"),
            models.UniqueConstraint(fields=["tier_version", "line"], name="tier_route_line_unique"),
        ]


class ManagedResourceQuerySet(models.QuerySet["ManagedResource"]):
    """Scoped and state-wise reads."""

    def visible_to(self, tenant_ids: Collection[int] | None) -> Self:
        """Those of the tenants named; None means all, shared ones included."""
        return self if tenant_ids is None else self.filter(tenant_id__in=tenant_ids)

    def living(self) -> Self:
        """Those that exist or are to exist."""
        return self.exclude(phase=Phase.GONE)


class ManagedResource(PublicModel):
    """One thing that should exist in AWS, or did. The row is committed before AWS is asked to make it.

    `slot` is its place in the plan ("ten_…/dedicated/endpoint"); several incarnations can fill a slot one after the
    other, each with its own name. `fence` counts the claims: whoever writes names the fence it claimed with, so a
    worker that lost its lease cannot write. `attempts` counts the passes over it that were begun and did not end.
    `look_again_at` and the lease are on real time, the rest on business time.
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
    generation = models.PositiveBigIntegerField(default=1)
    observed_generation = models.PositiveBigIntegerField(default=0)
    sent_digest = models.CharField(max_length=64, blank=True)
    failed_digest = models.CharField(max_length=64, blank=True)

    phase = models.CharField(max_length=10, choices=Phase.choices, default=Phase.WISHED)
    aws_status = models.CharField(max_length=40, blank=True)
    arn = models.CharField(max_length=200, blank=True)
    stuck_reason = models.CharField(max_length=10, choices=StuckReason.choices, default=StuckReason.NONE, blank=True)
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
            models.Index(fields=["look_again_at"], name="resource_due", condition=~Q(phase="gone")),
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
    """When a resource served (business time): the ledger that endpoint-hours are billed from."""

    resource = models.ForeignKey(ManagedResource, on_delete=models.PROTECT, related_name="intervals")
    during = DateTimeRangeField()

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


class PublishedConfig(PublicModel):
    """A version of a tenant's runtime config. The row is committed before DynamoDB is written; it never changes.

    `written_at` is set once DynamoDB holds the version and `current` points at it; a version that a newer one
    overtook has `written_at` empty for ever.
    """

    PREFIX = "cfg"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="published_configs")
    version = models.PositiveIntegerField()
    document = models.JSONField()
    sha256 = models.CharField(max_length=64)
    signature = models.CharField(max_length=64)
    routed_names = ArrayField(models.CharField(max_length=63), default=list)
    written_at = models.DateTimeField(null=True)
    is_current = models.BooleanField(default=False)

    class Meta:
        ordering = ["tenant_id", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "version"], name="published_config_version_unique"),
            models.UniqueConstraint(
                fields=["tenant"], name="published_config_one_current", condition=Q(is_current=True)
            ),
        ]


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


class ScenarioQuerySet(models.QuerySet["Scenario"]):
    """Scoped reads."""

    def visible_to(self, tenant_ids: Collection[int] | None) -> Self:
        """Those about the tenants named; None means all, those about no tenant included."""
        return self if tenant_ids is None else self.filter(tenant_id__in=tenant_ids)


class Scenario(PublicModel):
    """Inputs of the planner that somebody kept. They never change: another set of inputs is another scenario."""

    PREFIX = "scn"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, null=True, related_name="scenarios")
    name = models.CharField(max_length=120)
    inputs = models.JSONField()
    saved_by = models.CharField(max_length=200)

    objects = ScenarioQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name


class CatalogueRow(PublicModel):
    """A row of the planner's catalogue that an operator imported; it goes before the shipped row of the same key.

    Rows are only added: a later import of the key leaves the older row, no longer current, as its history.
    """

    PREFIX = "cat"

    table = models.CharField(max_length=20, choices=[(table, table) for table in TABLES])
    key = models.CharField(max_length=300)
    texts = models.JSONField()
    imported_by = models.CharField(max_length=200)
    is_current = models.BooleanField(default=True)

    class Meta:
        ordering = ["table", "key", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["table", "key"], name="catalogue_row_one_current", condition=Q(is_current=True)
            ),
        ]
