"""A tenant's adapters: each a line of versions with one name."""

from django.contrib.postgres.indexes import GinIndex
from django.db import models

from core.models import PublicModel
from models_registry.models.catalogue import FoundationModel, ServingProfile
from models_registry.states import OutsideApprovals, adapter_state
from tenants.models import Tenant
from tenants.scoping import TenantScoped


class AdapterQuerySet(TenantScoped, models.QuerySet["Adapter"]):
    """Scoped reads."""


class Adapter(PublicModel):
    """A tenant's line of versions for one base model; its name is the route that the data plane asks for.

    `latest_version` is the newest that passed the gate and is not archived, `live_version` the one that answers now.
    `next_number` and `next_sequence` are taken by UPDATE ... RETURNING, so numbers have no gaps and no doubles.
    """

    PREFIX = "adp"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="adapters")
    foundation_model = models.ForeignKey(FoundationModel, on_delete=models.PROTECT, related_name="adapters")
    serving_profile = models.ForeignKey(ServingProfile, on_delete=models.PROTECT, related_name="adapters")
    name = models.SlugField(max_length=40)
    description = models.TextField(blank=True)
    tags = models.JSONField(default=dict)
    outside_approvals = models.CharField(max_length=10, choices=OutsideApprovals.choices, default=OutsideApprovals.UNDO)
    latest_version = models.ForeignKey("AdapterVersion", on_delete=models.PROTECT, null=True, related_name="+")
    live_version = models.ForeignKey("AdapterVersion", on_delete=models.PROTECT, null=True, related_name="+")
    next_number = models.PositiveIntegerField(default=1)
    next_sequence = models.PositiveIntegerField(default=1)

    objects = AdapterQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "-id"], name="adapter_by_tenant"),
            models.Index(fields=["foundation_model", "-id"], name="adapter_by_base"),
            GinIndex(fields=["tags"], name="adapter_by_tag", opclasses=["jsonb_path_ops"]),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(outside_approvals__in=OutsideApprovals.values),
                name="adapter_outside_approvals_known",
            ),
            models.UniqueConstraint(fields=["tenant", "name"], name="adapter_name_unique"),
            # Nothing to enforce (id is unique already): what the composite foreign keys of the children point at.
            models.UniqueConstraint(fields=["tenant", "id"], name="adapter_of_tenant"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def version_count(self) -> int:
        """How many versions passed the gate, archived ones too; numbers have no gaps."""
        return self.next_number - 1

    @property
    def state(self) -> str:
        """See `adapter_state`."""
        return adapter_state(latest=self.latest_version_id, live=self.live_version_id)
