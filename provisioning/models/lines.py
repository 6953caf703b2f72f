"""Serving lines: the named ways to answer, and their order per tier version."""

import copy
from typing import Self

from django.db import models
from django.db.models import F, Q

from core.models import PublicModel
from models_registry.models import ServingProfile
from tenants.models import TierVersion


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

    # Where a tenant has the line: our own account while empty. No columns; see `placed`.
    account = ""
    execution_role_arn = ""

    def placed(self, *, account: str, execution_role_arn: str) -> Self:
        """The line as a tenant with an account to itself has it: there, and with nothing shared. Never to be saved."""
        line = copy.copy(self)
        line.account, line.execution_role_arn = account, execution_role_arn
        line.endpoint_scope = line.component_scope = Scope.TENANT
        return line


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
