"""What the planner keeps: scenarios, and catalogue rows that operators imported."""

from django.db import models
from django.db.models import Q

from core.models import PublicModel
from provisioning.planner.catalogue import TABLES
from tenants.models import Tenant
from tenants.scoping import TenantScoped


class ScenarioQuerySet(TenantScoped, models.QuerySet["Scenario"]):
    """Scoped reads."""


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
