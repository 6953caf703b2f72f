"""Taking an upload in: bounded, into quarantine, never half."""

import hashlib
import logging
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, BinaryIO, Protocol

from django.db import transaction
from django.db.models import Q

from aws.connect import artifacts
from aws.errors import AwsError
from core import clock
from core.actors import Actor
from core.crashpoints import crashpoint
from core.errors import NotFound, QuotaExceeded
from core.prepared import Prepared, insert
from core.states import StaleState, move
from events.record import record_event
from models_registry.artifacts import clear, quarantine_key, quarantine_prefix
from models_registry.models import Adapter, AdapterVersion
from models_registry.services import provenance
from models_registry.services.adapters import lock_adapter, lock_staying_tenant, refuse_leaving
from models_registry.services.provenance import UploadInvalid
from models_registry.states import UNDECIDED, VERSION_MOVES, VersionState
from tenants.models import Tenant
from tenants.queries import tier_version_of

log = logging.getLogger(__name__)

MAX_PARTS = 32
MAX_PART_NAME = 200
COPY_BYTES = 256 * 1024
MAX_UNDECIDED = 20
_UNDECIDED_OF = Prepared(
    lambda tenant_id: AdapterVersion.objects.filter(tenant_id=tenant_id, state__in=UNDECIDED).only("pk")[
        :MAX_UNDECIDED
    ],
    tenant_id=-1,
)
"""Uploads of one tenant that are on their way or being judged; each may be as large as the tier allows."""
ABANDONED_AFTER = timedelta(hours=1)
"""No request lasts that long: gunicorn and the proxy end it well before."""
CLAIMED_FOR = timedelta(seconds=120)
"""Completing an upload asks S3 a few times; who dies at it holds the next one up for no longer."""


class TooManyUploads(QuotaExceeded):
    """The tenant has as many uploads on their way as anybody may have."""

    code = "too_many_uploads"
    status = 429
    title = "Too many uploads at once"
    retryable = True


class Readable(Protocol):
    """A request's body or one of its files."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; empty at the end. A connection that breaks raises OSError."""
        ...


@dataclass(frozen=True)
class UploadedPart:
    """One file of a request: the name it was sent under, and its content."""

    name: str
    stream: Readable


@dataclass(frozen=True)
class _Spooled:
    name: str
    size: int
    sha256: str
    file: BinaryIO


def receive_upload(
    *,
    adapter_id: int,
    files: Iterable[UploadedPart],
    notes: str = "",
    metrics: Mapping[str, Any] | None = None,
    dataset_ref: str = "",
    base_revision: str = "",
    training_job: str = "",
    actor: Actor,
) -> AdapterVersion:
    """Take in one .tar.gz or an adapter's files, and leave them to validation; the version has no number yet.

    The content goes to a temporary file first, bounded by the tier's `max_adapter_bytes`; only when all of it has
    arrived does a row appear and do the objects go to quarantine. What fails on the way leaves neither. Raises
    UploadInvalid, NotFound, TenantLeaving, QuotaExceeded, aws.errors.AwsError, and whatever reading a part raises.
    """
    words = provenance.clean(
        {
            "notes": notes,
            "metrics": metrics,
            "dataset_ref": dataset_ref,
            "base_revision": base_revision,
            "training_job": training_job,
        }
    )
    adapter = Adapter.objects.select_related("tenant").filter(pk=adapter_id).first()
    if adapter is None:
        raise NotFound("There is no such adapter.")
    tier = tier_version_of(adapter.tenant_id, clock.now())
    with ExitStack() as stack:
        spooled = _spool(files, tier.max_adapter_bytes, stack)
        parts = [{"name": part.name, "size": part.size} for part in spooled]
        claim = clock.real_now() + ABANDONED_AFTER
        with transaction.atomic(durable=True):
            version = open_version(lock_adapter(adapter.pk), parts, words, actor, claimed_until=claim)
        try:
            crashpoint("upload:begun")
            _store(adapter.tenant, version, spooled)
            crashpoint("upload:stored")
            return hand_to_gate(version, actor, claim)
        except Exception:
            forget_upload(version, claim)
            raise


def sweep_abandoned_uploads() -> int:
    """Forget uploads that nobody will end, and empty the quarantine of what has been decided; how many there were.

    Nobody ends a request's upload whose process died, nor one in parts whose time is over.
    """
    done, now = 0, clock.real_now()
    died = Q(upload=None, claimed_until__lt=now) | Q(upload__expires_at__lt=now)
    for version in AdapterVersion.objects.filter(died, state=VersionState.UPLOADING).select_related("tenant"):
        claim = take_upload(version)
        if claim is not None:
            forget_upload(version, claim)
            done += 1
    decided = (
        AdapterVersion.objects.filter(quarantine_cleared_at=None).exclude(state__in=UNDECIDED).select_related("tenant")
    )
    for version in decided[:100]:
        clear_quarantine(version)
        done += 1
    return done


def clear_quarantine(version: AdapterVersion) -> None:
    """Delete what a decided version has in quarantine. Raises aws.errors; the sweep tries again then."""
    clear(quarantine_prefix(version.tenant, version))
    AdapterVersion.objects.filter(pk=version.pk).update(quarantine_cleared_at=clock.now())


def _spool(parts: Iterable[UploadedPart], max_bytes: int, stack: ExitStack) -> list[_Spooled]:
    """The parts in temporary files, which vanish with the stack, each with its size and sha256."""
    spooled: list[_Spooled] = []
    room = max_bytes
    for part in parts:
        if len(spooled) == MAX_PARTS:
            raise UploadInvalid(f"An upload has up to {MAX_PARTS} files.", hint="Send the adapter's two files.")
        if not 0 < len(part.name) <= MAX_PART_NAME or not part.name.isprintable():
            raise UploadInvalid(f"A file name has 1 to {MAX_PART_NAME} printable characters.")
        file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (the stack closes it)
        digest, size = hashlib.sha256(), 0
        while chunk := part.stream.read(COPY_BYTES):
            size += len(chunk)
            if size > room:
                raise QuotaExceeded(
                    f"The tier takes adapters of up to {max_bytes:,} bytes.",
                    hint="Train with a lower rank or save in bfloat16, or move the tenant to a larger tier.",
                )
            digest.update(chunk)
            file.write(chunk)
        room -= size
        file.seek(0)
        spooled.append(_Spooled(part.name, size, digest.hexdigest(), file))
    if not sum(part.size for part in spooled):
        raise UploadInvalid("Nothing was uploaded.", hint="Send a .tar.gz, or the two files that PEFT saved.")
    return spooled


def open_version(
    adapter: Adapter,
    parts: list[dict[str, Any]],
    words: Mapping[str, Any],
    actor: Actor,
    *,
    claimed_until: datetime | None,
) -> AdapterVersion:
    """The row of an upload that begins, inside the caller's transaction, which has locked the adapter's tenant.

    Raises TenantLeaving and TooManyUploads.
    """
    tenant = adapter.tenant
    refuse_leaving(tenant)
    if len(_UNDECIDED_OF.all(tenant_id=tenant.pk)) >= MAX_UNDECIDED:
        raise TooManyUploads(
            f"{tenant.name} has {MAX_UNDECIDED} uploads on their way already.",
            hint="Wait until one is decided, or abort one that is not going on.",
        )
    version = AdapterVersion(
        adapter=adapter,
        tenant=tenant,
        parts=parts,
        uploaded_by=actor.name,
        uploaded_by_ref=actor.ref,
        claimed_until=claimed_until,
        **words,
    )
    insert(version)
    return version


def _store(tenant: Tenant, version: AdapterVersion, spooled: list[_Spooled]) -> None:
    store = artifacts()
    for position, part in enumerate(spooled):
        store.put(quarantine_key(tenant, version, position), part.file, sha256=part.sha256)


def take_upload(version: AdapterVersion) -> datetime | None:
    """Claim an upload that nobody is at, so that two never end it at once; None when somebody is, or it has ended.

    The answer is the fence of what is done under the claim: no two claims end at the same moment, because a later one
    is only given after the earlier one's end. Who was held up for longer than that finds another's in its place.
    """
    now = clock.real_now()
    free = Q(claimed_until=None) | Q(claimed_until__lt=now)
    claim = now + CLAIMED_FOR
    taken = AdapterVersion.objects.filter(free, pk=version.pk, state=VersionState.UPLOADING).update(claimed_until=claim)
    return claim if taken else None


def hand_to_gate(version: AdapterVersion, actor: Actor, claim: datetime | None) -> AdapterVersion:
    """Say that an upload has arrived, as the holder of `claim`.

    Raises TenantLeaving, and StaleState when somebody else has taken, said or ended it meanwhile.
    """
    with transaction.atomic(durable=True):
        tenant = lock_staying_tenant(version.tenant_id)
        if not AdapterVersion.objects.filter(pk=version.pk, claimed_until=claim).update(claimed_until=None):
            raise StaleState("Another request has taken this upload meanwhile.", hint="Look at it in a moment.")
        move(version, to=VersionState.VALIDATING, table=VERSION_MOVES, claimed_until=None)
        record_event(
            "adapter.upload_completed",
            tenant=tenant,
            subject=version,
            actor=actor,
            after={"files": [part["name"] for part in version.parts]},
        )
    return version


def forget_upload(version: AdapterVersion, claim: datetime | None) -> None:
    """Remove an upload that did not arrive, if AWS lets us; otherwise its row stays, and the sweep finds both.

    Only the holder of `claim` removes it: what another request or validation has taken over is not ours any more.
    Where the row is gone, what was stored since goes too. The row goes last.
    """
    row = AdapterVersion.objects.filter(pk=version.pk)
    ours = row.filter(state=VersionState.UPLOADING, claimed_until=claim)
    if not ours.exists() and row.exists():
        return
    try:
        clear(quarantine_prefix(version.tenant, version))
    except AwsError as error:
        log.warning("upload %s could not be cleared from quarantine yet: %s", version.public_id, error)
        return
    with transaction.atomic(durable=True):
        ours.delete()
