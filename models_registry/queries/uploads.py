"""Reading uploads in parts."""

from collections.abc import Collection

from django.db.models import QuerySet

from core.errors import NotFound
from models_registry.models import AdapterUpload
from models_registry.states import VersionState


def get_upload(ref: str, *, tenant_ids: Collection[int] | None) -> AdapterUpload:
    """By public id. Raises NotFound when absent or invisible."""
    upload = _uploads(tenant_ids).filter(public_id=ref).first()
    if upload is None:
        raise NotFound(f"There is no upload {ref}.")
    return upload


def list_open_uploads(*, tenant_ids: Collection[int] | None, adapter_id: int) -> QuerySet[AdapterUpload]:
    """The uploads of an adapter that still take parts, newest first."""
    return _uploads(tenant_ids).filter(version__adapter_id=adapter_id, version__state=VersionState.UPLOADING)


def _uploads(tenant_ids: Collection[int] | None) -> QuerySet[AdapterUpload]:
    uploads = AdapterUpload.objects.visible_to(tenant_ids).order_by("-id")
    return uploads.select_related("version__adapter", "version__tenant")
