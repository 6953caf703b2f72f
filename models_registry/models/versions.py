"""The immutable versions of an adapter."""

from collections.abc import Collection
from typing import Self

from django.db import models

from core.models import PublicModel
from models_registry.models.adapters import Adapter
from models_registry.states import VersionState
from tenants.models import Tenant


class AdapterVersionQuerySet(models.QuerySet["AdapterVersion"]):
    """Scoped reads."""

    def visible_to(self, tenant_ids: Collection[int] | None) -> Self:
        """Those of the tenants among `tenant_ids`; None means all."""
        return self if tenant_ids is None else self.filter(tenant_id__in=tenant_ids)


class AdapterVersion(PublicModel):
    """One upload of an adapter. Once ready its content and its number never change (a trigger sees to it).

    `parts` lists the uploaded files in quarantine: name and size in bytes, in the order of their keys. `sha256` and
    `size_bytes` are those of the repacked artifact under `artifact_key`. `claimed_until` (real time) and `attempts`
    belong to whoever works on the row, the uploading request or the validating worker; `waiting_reason` says why
    validation has not ended, when AWS is in the way.
    """

    PREFIX = "adv"

    adapter = models.ForeignKey(Adapter, on_delete=models.PROTECT, related_name="versions")
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+")
    number = models.PositiveIntegerField(null=True)
    state = models.CharField(max_length=20, choices=VersionState.choices, default=VersionState.UPLOADING)
    parts = models.JSONField(default=list)
    quarantine_cleared_at = models.DateTimeField(null=True)
    artifact_key = models.CharField(max_length=200, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    size_bytes = models.PositiveBigIntegerField(null=True)
    rank = models.PositiveIntegerField(null=True)
    alpha = models.FloatField(null=True)
    target_modules = models.JSONField(default=list)
    findings = models.JSONField(default=list)
    facts = models.JSONField(default=dict)
    notes = models.TextField(blank=True)
    metrics = models.JSONField(default=dict)
    dataset_ref = models.CharField(max_length=200, blank=True)
    uploaded_by = models.CharField(max_length=200)
    decided_at = models.DateTimeField(null=True)
    claimed_until = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    waiting_reason = models.TextField(blank=True)

    objects = AdapterVersionQuerySet.as_manager()

    class Meta:
        verbose_name = "adapter version"
        indexes = [
            models.Index(fields=["adapter", "-id"], name="version_by_adapter"),
            models.Index(
                fields=["state"],
                name="version_undecided",
                condition=models.Q(state__in=[VersionState.UPLOADING, VersionState.VALIDATING]),
            ),
            models.Index(
                fields=["id"], name="version_in_quarantine", condition=models.Q(quarantine_cleared_at__isnull=True)
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["adapter", "number"], name="version_number_unique"),
            models.UniqueConstraint(fields=["adapter", "id"], name="version_of_adapter"),
            models.CheckConstraint(condition=models.Q(state__in=VersionState.values), name="version_state_known"),
            models.CheckConstraint(
                condition=models.Q(
                    ~models.Q(sha256=""),
                    ~models.Q(artifact_key=""),
                    state__in=[VersionState.READY, VersionState.ARCHIVED],
                    number__isnull=False,
                    size_bytes__isnull=False,
                    rank__isnull=False,
                )
                | models.Q(
                    state__in=[VersionState.UPLOADING, VersionState.VALIDATING, VersionState.REJECTED],
                    number__isnull=True,
                ),
                name="version_numbered_when_ready",
            ),
        ]

    def __str__(self) -> str:
        return f"v{self.number}" if self.number else self.public_id
