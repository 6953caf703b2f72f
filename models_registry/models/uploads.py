"""Uploads that a client sends to the bucket itself, in parts."""

from collections.abc import Collection
from typing import Any, Self

from django.db import models

from core.models import PublicModel
from models_registry.models.versions import AdapterVersion
from models_registry.states import VersionState


class AdapterUploadQuerySet(models.QuerySet["AdapterUpload"]):
    """Scoped reads."""

    def visible_to(self, tenant_ids: Collection[int] | None) -> Self:
        """Those of the tenants among `tenant_ids`; None means all."""
        return self if tenant_ids is None else self.filter(version__tenant_id__in=tenant_ids)


class AdapterUpload(PublicModel):
    """How a version's files come to the bucket in parts: open until they are complete or `expires_at` has passed.

    `storage_ids` are S3's ids of the uploads, one per file in the order of the version's `parts`; empty until S3 has
    given them. The row goes with its version: an upload that is aborted or expires leaves neither.
    """

    PREFIX = "upl"

    version = models.OneToOneField(AdapterVersion, on_delete=models.CASCADE, related_name="upload")
    part_bytes = models.PositiveIntegerField()
    storage_ids = models.JSONField(default=list)
    expires_at = models.DateTimeField(db_index=True)

    objects = AdapterUploadQuerySet.as_manager()

    class Meta:
        verbose_name = "adapter upload"

    @property
    def is_open(self) -> bool:
        """Whether parts are still taken."""
        return self.version.state == VersionState.UPLOADING

    @property
    def files(self) -> list[dict[str, Any]]:
        """Each file's position, name, size in bytes and number of parts."""
        return [
            {"position": position, "parts": -(-part["size"] // self.part_bytes), **part}
            for position, part in enumerate(self.version.parts)
        ]
