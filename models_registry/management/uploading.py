"""`manage.py adapter upload`: begin or go on, send the parts, hand over, and wait for the verdict."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from accounts.services import operator_at_console
from aws.errors import AwsError
from aws.multipart import PartFacts
from core.actors import Actor
from core.errors import DomainError
from models_registry import queries
from models_registry.inspection.sources import CONFIG_NAME, WEIGHTS_NAME
from models_registry.management.sending import PartNotSent, agrees, checksums_of, send
from models_registry.models import AdapterUpload, AdapterVersion
from models_registry.services.multipart import (
    PART_BYTES,
    AnnouncedFile,
    UploadClosed,
    begin_upload,
    complete_upload,
    received_parts,
)
from models_registry.services.provenance import LENGTHS
from models_registry.states import VersionState

FAILED = 2
DECIDED = (VersionState.READY, VersionState.REJECTED)


def upload(options: Mapping[str, Any]) -> AdapterVersion:
    """Upload and wait; the version, decided or not. Raises CommandError with what to do."""
    try:
        paths = _files(options["path"])
        actor = operator_at_console(name=options["operator"], permission="adapters.upload")
        adapter = queries.get_adapter(options["adapter"], tenant_ids=None)
        checksums = checksums_of(paths, PART_BYTES)
        begun, received = _begin_or_go_on(adapter.pk, paths, checksums, options, actor)
        send(begun, paths, received)
        version = complete_upload(upload_id=begun.pk, checksums=checksums, actor=actor)
    except PartNotSent as error:
        raise CommandError(
            f"{error} Run the same command again to go on where it stopped.", returncode=FAILED
        ) from error
    except DomainError as error:
        raise CommandError(f"{error.detail} {error.hint}".strip(), returncode=FAILED) from error
    except AwsError as error:
        raise CommandError(f"AWS did not do what we asked: {error}.", returncode=FAILED) from error
    except OSError as error:
        raise CommandError(f"Cannot read {options['path']}: {error.strerror or error}.", returncode=FAILED) from error
    return _decided(version, options["wait"])


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        with path.open("rb"):
            return [path]
    files = [path / CONFIG_NAME, path / WEIGHTS_NAME]
    for file in files:
        if not file.is_file():
            raise CommandError(f"{path} does not hold {file.name}.", returncode=FAILED)
    return files


def _begin_or_go_on(
    adapter_id: int, paths: list[Path], checksums: list[list[str]], options: Mapping[str, Any], actor: Actor
) -> tuple[AdapterUpload, list[list[PartFacts]]]:
    """The operator's open upload of these very files, if there is one; otherwise a new one."""
    files = [AnnouncedFile(path.name, path.stat().st_size) for path in paths]
    announced = [(file.name, file.size) for file in files]
    for known in queries.list_open_uploads(tenant_ids=None, adapter_id=adapter_id):
        same = [(file["name"], file["size"]) for file in known.files] == announced and known.part_bytes == PART_BYTES
        if not same or known.version.uploaded_by_ref != actor.ref or not known.storage_ids:
            continue
        try:
            received = received_parts(upload_id=known.pk)
        except UploadClosed:
            continue
        if agrees(received, checksums):
            print("Going on where an earlier upload stopped.", file=sys.stderr)
            return known, received
    words = {word: options[word] for word in ("notes", *LENGTHS)} | {"metrics": _metrics(options["metrics"])}
    begun = begin_upload(adapter_id=adapter_id, files=files, words=words, actor=actor)
    return begun, [[] for _ in files]


def _metrics(text: str) -> dict[str, Any]:
    try:
        metrics = json.loads(text)
    except (ValueError, RecursionError):
        metrics = None
    if not isinstance(metrics, dict):
        raise CommandError('--metrics must be a JSON object, such as {"loss": 0.4}.', returncode=FAILED)
    return metrics


def _decided(version: AdapterVersion, seconds: int) -> AdapterVersion:
    until = time.monotonic() + seconds
    while version.state not in DECIDED and time.monotonic() < until:
        time.sleep(0.2)
        version.refresh_from_db()
    return version
