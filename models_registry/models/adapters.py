"""A tenant's adapters: each a line of versions with one name."""

from collections.abc import Collection
from typing import Self

from django.db import models

from core.models import PublicModel
from models_registry.models.catalogue import FoundationModel, ServingProfile
from tenants.models import Tenant


class AdapterQuerySet(models.QuerySet["Adapter"]):
    """Scoped reads."""

    def visible_to(self, tenant_ids: Collection[int] | None) -> Self:
        """Those of the tenants among `tenant_ids`; None means all."""
        return self if tenant_ids is None else self.filter(tenant_id__in=tenant_ids)


class Adapter(PublicModel):
    """A tenant's line of versions for one base model; its name is the route that the data plane asks for.

    `latest_version` is the newest that passed the gate, `live_version` the one that answers now.
    `next_number` and `next_sequence` are taken by UPDATE ... RETURNING, so numbers have no gaps and no doubles.
    """

    PREFIX = "adp"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="adapters")
    foundation_model = models.ForeignKey(FoundationModel, on_delete=models.PROTECT, related_name="adapters")
    serving_profile = models.ForeignKey(ServingProfile, on_delete=models.PROTECT, related_name="adapters")
    name = models.SlugField(max_length=40)
    latest_version = models.ForeignKey("AdapterVersion", on_delete=models.PROTECT, null=True, related_name="+")
    live_version = models.ForeignKey("AdapterVersion", on_delete=models.PROTECT, null=True, related_name="+")
    next_number = models.PositiveIntegerField(default=1)
    next_sequence = models.PositiveIntegerField(default=1)

    objects = AdapterQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="adapter_name_unique"),
            # Nothing to enforce (id is unique already): what the composite foreign keys of the children point at.
            models.UniqueConstraint(fields=["tenant", "id"], name="adapter_of_tenant"),
        ]

    def __str__(self) -> str:
        return self.name
