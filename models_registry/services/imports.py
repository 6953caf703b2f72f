"""Takes in a version from an S3 address: copied into quarantine, then judged like an upload.

The copy may take minutes, so the request only asks for it. A worker streams it, holds no transaction meanwhile, and
leaves its claim to run out if it dies; the sweep rings again.
"""

import hashlib
import logging
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q

from aws import connect, errors
from aws.gateway import ArtifactStore
from core import clock
from core.actors import SYSTEM, Actor
from core.errors import FieldError, Invalid
from core.states import move
from events.record import record_event
from models_registry.artifacts import quarantine_key
from models_registry.inspection.findings import Finding
from models_registry.inspection.sources import CONFIG_NAME, WEIGHTS_NAME
from models_registry.models import Adapter, AdapterVersion
from models_registry.services import provenance
from models_registry.services.adapters import lock_adapter
from models_registry.services.uploads import open_version
from models_registry.states import VERSION_MOVES, VersionState
from tenants.models import Tenant
from tenants.queries import tier_version_of

log = logging.getLogger(__name__)

COPY_BYTES = 1024 * 1024
MAX_ATTEMPTS = 3
RETRY_SECONDS = 15
LONGEST_COPY_SECONDS = 900
"""For one attempt: 1 GiB at 1.2 MB/s. The task's time limit; the claim lasts a little longer."""
_URI = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>[^\x00-\x1f\x7f]{1,900})")


class ImportInvalid(Invalid):
    """The address is none, or not one that this installation imports from for this tenant."""

    code = "import_invalid"
    title = "This cannot be imported"


class _Refused(Exception):
    """The source itself is wrong: nothing changes by trying again."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.finding = Finding(code, "error", message, hint)


@dataclass(frozen=True, slots=True)
class _SourceFile:
    name: str
    key: str
    size: int


def import_version(
    *, adapter_id: int, uri: str, words: Mapping[str, Any], is_of_tenant: bool, actor: Actor
) -> AdapterVersion:
    """Ask for the version at `s3://bucket/key.tar.gz`, or for the two files under `s3://bucket/prefix/`.

    `is_of_tenant` says that the caller acts for the tenant alone: then only sources with `{tenant}` in them count.
    Raises ImportInvalid, UploadInvalid, TenantLeaving and TooManyUploads; whatever else is wrong with the source
    becomes a finding.
    """
    cleaned = provenance.clean(words)
    with transaction.atomic(durable=True):
        adapter = lock_adapter(adapter_id)
        _refuse_source(uri, adapter.tenant, settings.ENV.import_sources, is_of_tenant=is_of_tenant)
        columns = {**cleaned, "state": VersionState.IMPORTING, "source_uri": uri}
        version = open_version(adapter, [], columns, actor, claimed_until=None)
        record_event(
            "adapter.import_requested", tenant=adapter.tenant, subject=version, actor=actor, after={"source": uri}
        )
    return version


def copy_import(*, version_id: int) -> None:
    """Copy one import into quarantine and leave it to validation; quiet when it is done or another worker is at it.

    A source that is wrong rejects the version; an AWS that does not answer is waited for. After three workers died of
    the same import it is rejected.
    """
    version = _claim(version_id)
    if version is None:
        return
    try:
        if version.attempts > MAX_ATTEMPTS:
            raise _Refused("import_failed", "Copying it was tried three times and never ended.", "Upload it instead.")
        parts = _copy(version)
    except _Refused as refused:
        _reject(version, refused.finding)
    except errors.AwsError as error:
        _wait(version, error)
    else:
        _complete(version, parts)


def copy_waiting_imports() -> int:
    """Copy imports whose bell was lost or whose worker died; how many were tried."""
    waiting = AdapterVersion.objects.filter(_is_free(), state=VersionState.IMPORTING).order_by("pk")
    version_ids = list(waiting.values_list("pk", flat=True)[:1])  # one, because each may take the whole time limit
    for version_id in version_ids:
        copy_import(version_id=version_id)
    return len(version_ids)


def _refuse_source(uri: str, tenant: Tenant, sources: Collection[str], *, is_of_tenant: bool) -> None:
    detail = hint = ""
    allowed = [
        source.replace("{tenant}", ref)
        for source in sources
        for ref in ((tenant.public_id, tenant.slug) if "{tenant}" in source else ("",))
        if "{tenant}" in source or not is_of_tenant
    ]
    if not _URI.fullmatch(uri):
        detail, hint = "An address is s3://bucket/key.tar.gz, or s3://bucket/prefix/ with the adapter's two files.", ""
    elif not any(uri.startswith(source) and len(uri) > len(source) for source in allowed):
        detail = "This installation does not import from there."
        # A tenant is told its own places only: the others' addresses are nobody's business.
        hint = f"It imports from {', '.join(allowed)}." if allowed else "CP_IMPORT_SOURCES names the places."
    if detail:
        raise ImportInvalid(detail, hint=hint, errors=[FieldError("/uri", "import_invalid", detail)])


def _is_free() -> Q:
    return Q(claimed_until=None) | Q(claimed_until__lt=clock.real_now())


def _claim(version_id: int) -> AdapterVersion | None:
    until = clock.real_now() + timedelta(seconds=LONGEST_COPY_SECONDS + RETRY_SECONDS)
    with transaction.atomic(durable=True):
        free = AdapterVersion.objects.filter(_is_free(), pk=version_id, state=VersionState.IMPORTING)
        if not free.update(claimed_until=until, attempts=F("attempts") + 1):
            return None
        return AdapterVersion.objects.select_related("tenant", "adapter").get(pk=version_id)


def _copy(version: AdapterVersion) -> list[dict[str, Any]]:
    """Stream the source into quarantine; its parts. Raises _Refused and aws.errors."""
    match = _URI.fullmatch(version.source_uri)
    if match is None:
        raise ValueError(f"{version.public_id} has no address")
    source = connect.copies(settings.ENV.aws_region, match["bucket"])
    limit = tier_version_of(version.tenant_id, clock.now()).max_adapter_bytes
    files = list(_files(source, match["key"]))
    if sum(file.size for file in files) > limit:
        raise _Refused(
            "quota_exceeded",
            f"The source has {sum(file.size for file in files):,} bytes; the tier takes adapters of up to {limit:,}.",
            "Train with a lower rank or save in bfloat16, or move the tenant to a larger tier.",
        )
    for position, file in enumerate(files):
        _copy_file(source, file, quarantine_key(version.tenant, version, position))
    return [{"name": file.name, "size": file.size} for file in files]


def _files(source: ArtifactStore, key: str) -> Iterator[_SourceFile]:
    """What lies at the address. Raises _Refused when it is not there or may not be read."""
    keys = [key + name for name in (CONFIG_NAME, WEIGHTS_NAME)] if key.endswith("/") else [key]
    for each in keys:
        name = each.rpartition("/")[2]
        try:
            yield _SourceFile(name[-200:], each, source.head(each).size_bytes)
        except errors.Missing as error:
            raise _Refused("source_missing", f"There is no {name} at the address.", "Check the address.") from error
        except errors.AccessDenied as error:
            hint = "Allow the control plane's role s3:GetObject there, then import it again."
            raise _Refused("source_denied", f"AWS does not let us read {name}: {error.message}", hint) from error


def _copy_file(source: ArtifactStore, file: _SourceFile, key: str) -> None:
    """Through a temporary file, because S3 wants the checksum first."""
    with tempfile.TemporaryFile() as spool:
        digest, size = hashlib.sha256(), 0
        with closing(source.open(file.key)) as stream:
            while chunk := stream.read(COPY_BYTES):
                size += len(chunk)
                if size > file.size:
                    break
                digest.update(chunk)
                spool.write(chunk)
        if size != file.size:
            raise _Refused("source_changed", f"{file.name} changed while it was copied.", "Import it again.")
        spool.seek(0)
        connect.artifacts().put(key, spool, sha256=digest.hexdigest(), if_absent=False)


def _complete(version: AdapterVersion, parts: list[dict[str, Any]]) -> None:
    with transaction.atomic(durable=True):
        lock_adapter(version.adapter_id)
        version.refresh_from_db(fields=["state"])
        if version.state != VersionState.IMPORTING:
            return
        changes = {"parts": parts, "claimed_until": None, "attempts": 0, "waiting_reason": ""}
        move(version, to=VersionState.VALIDATING, table=VERSION_MOVES, **changes)
        files = [part["name"] for part in parts]
        record_event(
            "adapter.upload_completed", tenant=version.tenant, subject=version, actor=SYSTEM, after={"files": files}
        )


def _reject(version: AdapterVersion, finding: Finding) -> None:
    with transaction.atomic(durable=True):
        Adapter.objects.select_for_update(no_key=True).get(pk=version.adapter_id)
        version.refresh_from_db(fields=["state"])
        if version.state != VersionState.IMPORTING:
            return
        changes = {"findings": [finding.as_dict()], "decided_at": clock.now(), "claimed_until": None}
        move(version, to=VersionState.REJECTED, table=VERSION_MOVES, waiting_reason="", **changes)
        codes = {"codes": [finding.code]}
        record_event("adapter.version_rejected", tenant=version.tenant, subject=version, actor=SYSTEM, after=codes)


def _wait(version: AdapterVersion, error: errors.AwsError) -> None:
    """AWS being away is no fault of the import, so the attempt does not count."""
    log.warning("import of %s waits: %s", version.public_id, error)
    reason = f"AWS answered {error.code} to {error.operation}: {error.message}"
    ours = AdapterVersion.objects.filter(
        pk=version.pk, state=VersionState.IMPORTING, claimed_until=version.claimed_until
    )
    ours.update(
        claimed_until=clock.real_now() + timedelta(seconds=RETRY_SECONDS),
        attempts=F("attempts") - 1,
        waiting_reason=reason[:1000],
    )
