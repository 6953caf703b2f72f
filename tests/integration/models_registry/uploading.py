"""Sends uploads through the real services."""

import io
from typing import Any

from aws.connect import artifacts
from models_registry.models import Adapter, AdapterVersion
from models_registry.services.uploads import UploadedPart, receive_upload
from models_registry.services.validation import validate_version
from tests.factories import TESTER
from tests.unit.models_registry.making import sample


def parts(files: dict[str, bytes]) -> list[UploadedPart]:
    return [UploadedPart(name, io.BytesIO(content)) for name, content in files.items()]


def upload(adapter: Adapter, files: dict[str, bytes] | str = "ok-r8-qv", **details: Any) -> AdapterVersion:
    """Receive an upload and let the gate decide on it."""
    files = sample(files) if isinstance(files, str) else files
    version = receive_upload(adapter_id=adapter.pk, files=parts(files), actor=TESTER, **details)
    validate_version(version_id=version.pk)
    version.refresh_from_db()
    return version


def keys(prefix: str = "") -> list[str]:
    """What the bucket holds under a prefix."""
    return [facts.key for facts in artifacts().list(prefix)]
