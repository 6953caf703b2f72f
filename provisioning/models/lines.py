"""Serving lines: the named ways to answer, their order per tier version, and what tenants decide about them."""

import copy
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from core import clock
from core.models import PublicModel
from models_registry.models import ServingProfile
from tenants.models import Tenant, TierVersion


class Scope(models.TextChoices):
    """Whether something is shared by all tenants of a line or each has its own."""

    SHARED = "shared", "Shared"
    TENANT = "tenant", "Each tenant its own"


class ServingLine(PublicModel):
    """A named way to answer. Its name is a metric dimension.

    A `hosted` line is a profile on instances of SageMaker, shared or not, paid by the hour. An `api` line is a model of
    Bedrock (`model_id`: a foundation model's id, or a system-defined profile's that spreads over a geography), paid by
    the token; each tenant gets an application inference profile of its own there. It answers without adapters.

    `usd_per_million_*` is what AWS charges, `capacity_tokens_per_minute` what it lets through; null when not known.
    `eula_url` is set for a gated model: a tenant gets it once its acceptance is on record.
    """

    PREFIX = "line"

    class Kind(models.TextChoices):
        HOSTED = "hosted", "Hosted"
        API = "api", "API"

    class PriceBasis(models.TextChoices):
        INSTANCE_HOURS = "instance_hours", "Instance hours"
        TOKENS = "tokens", "Tokens"

    name = models.SlugField(max_length=30, unique=True)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.HOSTED)
    region = models.CharField(max_length=20)
    price_basis = models.CharField(max_length=20, choices=PriceBasis.choices, default=PriceBasis.INSTANCE_HOURS)
    eula_url = models.CharField(max_length=300, blank=True, default="")

    profile = models.ForeignKey(ServingProfile, on_delete=models.PROTECT, null=True, related_name="lines")
    endpoint_scope = models.CharField(max_length=10, choices=Scope.choices, default=Scope.TENANT)
    component_scope = models.CharField(max_length=10, choices=Scope.choices, default=Scope.TENANT)
    instance_type = models.CharField(max_length=40, blank=True, default="")
    instance_count = models.PositiveIntegerField(default=0)
    max_instance_count = models.PositiveIntegerField(default=0)
    copies = models.PositiveIntegerField(default=0)

    model_id = models.CharField(max_length=120, blank=True, default="")
    usd_per_million_input = models.DecimalField(max_digits=12, decimal_places=6, null=True)
    usd_per_million_output = models.DecimalField(max_digits=12, decimal_places=6, null=True)
    capacity_tokens_per_minute = models.PositiveBigIntegerField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="api") | (Q(max_instance_count__gte=F("instance_count")) & Q(instance_count__gte=1)),
                name="serving_line_instances_in_order",
            ),
            models.CheckConstraint(
                condition=~Q(endpoint_scope="tenant", component_scope="shared"),
                name="serving_line_shared_component_on_shared_endpoint",
            ),
            models.CheckConstraint(
                condition=Q(kind="hosted", profile__isnull=False, model_id="", price_basis="instance_hours")
                | (Q(kind="api", profile__isnull=True, instance_count=0, price_basis="tokens") & ~Q(model_id="")),
                name="serving_line_kind_complete",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    # Where a tenant has the line: our own account while empty. No columns; see `placed`.
    account = ""
    execution_role_arn = ""

    def placed(self, *, account: str, execution_role_arn: str) -> Self:
        """The line as a tenant with an account to itself has it: there, and with nothing shared. Never to be saved."""
        line = copy.copy(self)
        line.account, line.execution_role_arn = account, execution_role_arn
        line.endpoint_scope = line.component_scope = Scope.TENANT
        return line

    @property
    def is_hosted(self) -> bool:
        """Whether it runs on instances of ours, where adapters can be loaded."""
        return self.kind == self.Kind.HOSTED

    @property
    def hosting_profile(self) -> ServingProfile:
        """The profile of a hosted line. Raises ValueError for an api line, which has none."""
        if self.profile is None:
            raise ValueError(f"line {self.name} is an API and has no serving profile")
        return self.profile

    @property
    def model_name(self) -> str:
        """The model that answers, by the name that people know it by."""
        return self.profile.foundation_model.name if self.profile is not None else self.model_id


class AllowanceWindow(models.TextChoices):
    """How long an allowance lasts; a day and a month are those of the tenant's billing time zone."""

    MINUTE = "minute", "Minute"
    DAY = "day", "Day"
    MONTH = "month", "Month"


class TierRoute(models.Model):
    """Which lines a tier version serves on, in order.

    `allowance_tokens` (in and out together, per window) is what a tenant may use of the line before the next one
    answers; null means as much as the tenant's own limits allow.
    """

    tier_version = models.ForeignKey(TierVersion, on_delete=models.PROTECT, related_name="routes")
    position = models.PositiveSmallIntegerField()
    line = models.ForeignKey(ServingLine, on_delete=models.PROTECT, related_name="routes")
    allowance_tokens = models.PositiveBigIntegerField(null=True)
    allowance_window = models.CharField(max_length=10, choices=AllowanceWindow.choices, default=AllowanceWindow.MONTH)

    class Meta:
        ordering = ["tier_version_id", "position"]
        constraints = [
            models.UniqueConstraint(fields=["tier_version", "position"], name="tier_route_position_unique"),
            models.UniqueConstraint(fields=["tier_version", "line"], name="tier_route_line_unique"),
            models.CheckConstraint(
                condition=Q(allowance_window__in=AllowanceWindow.values)
                & (Q(allowance_tokens__isnull=True) | Q(allowance_tokens__gte=1)),
                name="tier_route_allowance_known",
            ),
        ]


class RoutingPolicy(models.Model):
    """How data planes of a tier version go from line to line; without a row the defaults hold.

    `breaker_failures` in a row open the breaker of a line for `breaker_open_seconds`, after which one request tries it.
    Where no line can answer, a request waits up to `queue_seconds` before it is refused. With `tenant_chooses` tenants
    may take the lines that they want, in their order, out of the tier's.
    """

    tier_version = models.OneToOneField(TierVersion, on_delete=models.PROTECT, related_name="routing_policy")
    breaker_failures = models.PositiveSmallIntegerField(default=5)
    breaker_open_seconds = models.PositiveSmallIntegerField(default=30)
    queue_seconds = models.PositiveSmallIntegerField(default=0)
    tenant_chooses = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(breaker_failures__gte=1, breaker_open_seconds__gte=1, queue_seconds__lte=30),
                name="routing_policy_in_range",
            ),
        ]


class LineChoice(models.Model):
    """The lines that a tenant took out of its tier's, in its order. It is kept over a change of tier."""

    tenant = models.OneToOneField(Tenant, on_delete=models.PROTECT, related_name="line_choice")
    line_names = ArrayField(models.CharField(max_length=30))
    changed_at = models.DateTimeField(default=clock.now)
    changed_by = models.CharField(max_length=200)


class EulaAcceptance(PublicModel):
    """That a tenant accepted a gated model's licence, who said so and when. It only grows."""

    PREFIX = "eula"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="eula_acceptances")
    model_name = models.CharField(max_length=120)
    eula_url = models.CharField(max_length=300)
    accepted_by = models.CharField(max_length=200)
    recorded_by = models.CharField(max_length=200)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "model_name", "eula_url"], name="eula_acceptance_once"),
        ]
