"""Uploads in parts: the client sends them to the bucket itself, S3 holds each against its sha256, we hold the list.

Nothing but a row that no list shows exists until the client says that all parts are there and S3 agrees. Whatever is
left of an upload that never gets there goes when its day is over, here and in the bucket.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from aws import errors
from aws.connect import artifacts, multipart
from aws.multipart import PartFacts, PresignedPart
from core import clock
from core.actors import Actor
from core.crashpoints import crashpoint
from core.errors import Conflict, FieldError, NotFound, QuotaExceeded
from models_registry.artifacts import QUARANTINE, clear, quarantine_key, uploaded_to
from models_registry.inspection.sources import MAX_UPLOAD_BYTES
from models_registry.models import Adapter, AdapterUpload, AdapterVersion
from models_registry.services import provenance
from models_registry.services.adapters import lock_adapter
from models_registry.services.provenance import UploadInvalid
from models_registry.services.uploads import (
    MAX_PART_NAME,
    MAX_PARTS,
    forget_upload,
    hand_to_gate,
    open_version,
    take_upload,
)
from models_registry.states import VersionState
from tenants.queries import tier_version_of

PART_BYTES = 8 * 1024 * 1024
"""Above S3's least (5 MiB), so small that a lost one costs little, and 5 GiB are 640 of them (S3 takes 10,000)."""
OPEN_FOR = timedelta(hours=24)
ADDRESS_SECONDS = 3600
MAX_PRESIGNED = 100
_TOLD_PARTS = 20


class UploadClosed(Conflict):
    """The upload takes no more parts: it is complete, it has expired, or the bucket has dropped it."""

    code = "upload_closed"
    title = "The upload is closed"


class UploadBusy(Conflict):
    """Another request is completing the upload at this moment."""

    code = "upload_busy"
    title = "The upload is being completed"
    retryable = True


class PartsMissing(Conflict):
    """Parts have not arrived, or have arrived with other bytes than the client says. Send those again."""

    code = "parts_missing"
    title = "Parts of the upload are missing"


@dataclass(frozen=True)
class AnnouncedFile:
    """A file that will be sent: its name and its size in bytes."""

    name: str
    size: int


@dataclass(frozen=True)
class WantedPart:
    """A part that the client is about to send: the file's position, the part's number from 1, and its hex sha256."""

    file: int
    number: int
    sha256: str


def begin_upload(
    *, adapter_id: int, files: Sequence[AnnouncedFile], words: Mapping[str, Any], actor: Actor
) -> AdapterUpload:
    """Open an upload in parts of one .tar.gz or of an adapter's files; `words` as provenance.WORDS.

    Raises UploadInvalid, NotFound, QuotaExceeded, TooManyUploads, TenantLeaving, aws.errors.AwsError; nothing is
    left then.
    """
    cleaned = provenance.clean(words)
    adapter = Adapter.objects.filter(pk=adapter_id).first()
    if adapter is None:
        raise NotFound("There is no such adapter.")
    _refuse_unusable(files, tier_version_of(adapter.tenant_id, clock.now()).max_adapter_bytes)
    parts = [{"name": file.name, "size": file.size} for file in files]
    with transaction.atomic(durable=True):
        version = open_version(lock_adapter(adapter.pk), parts, cleaned, actor, claimed_until=None)
        upload = AdapterUpload.objects.create(
            version=version, part_bytes=PART_BYTES, expires_at=clock.real_now() + OPEN_FOR
        )
    try:
        crashpoint("multipart:begun")
        ids = [multipart().begin(_key(version, position)) for position in range(len(files))]
        crashpoint("multipart:opened")
        with transaction.atomic(durable=True):
            if not AdapterUpload.objects.filter(pk=upload.pk).update(storage_ids=ids):
                raise UploadClosed("The upload was ended while it began.")
    except Exception:
        forget_upload(version, None)
        raise
    upload.storage_ids = ids
    return upload


def presign_parts(*, upload_id: int, parts: Sequence[WantedPart]) -> list[PresignedPart]:
    """An address for each part, good for its very bytes and for an hour at most.

    Raises UploadInvalid for parts that the upload does not have, NotFound, UploadClosed.
    """
    upload = _open_upload(upload_id)
    if not 0 < len(parts) <= MAX_PRESIGNED:
        raise UploadInvalid(f"Ask for 1 to {MAX_PRESIGNED} parts at a time.")
    seconds = min(ADDRESS_SECONDS, int((upload.expires_at - clock.real_now()).total_seconds()))
    store, files = multipart(), upload.files
    presigned = []
    for index, part in enumerate(parts):
        if part.file >= len(files) or not 1 <= part.number <= files[part.file]["parts"]:
            detail = f"The upload has no part {part.number} of file {part.file}."
            raise UploadInvalid(detail, errors=[FieldError(f"/parts/{index}", "no_such_part", detail)])
        presigned.append(
            store.presign(
                _key(upload.version, part.file),
                upload.storage_ids[part.file],
                number=part.number,
                size=_size_of(upload, part.file, part.number),
                sha256=part.sha256,
                seconds=seconds,
            )
        )
    return presigned


def received_parts(*, upload_id: int) -> list[list[PartFacts]]:
    """What has arrived of each file, as S3 tells it, so that a client can go on where it stopped.

    Raises NotFound, UploadClosed, aws.errors.AwsError.
    """
    upload = _open_upload(upload_id, is_in_bucket=False)
    if not upload.storage_ids:
        return [[] for _ in upload.files]
    try:
        return [
            multipart().parts(_key(upload.version, position), storage_id)
            for position, storage_id in enumerate(upload.storage_ids)
        ]
    except errors.Missing as error:
        raise _dropped() from error


def complete_upload(*, upload_id: int, checksums: Sequence[Sequence[str]], actor: Actor) -> AdapterVersion:
    """Make files of the parts and hand the version to the gate; a completed upload gives its version again.

    `checksums` are the hex sha256 of every part of every file, in order. Raises PartsMissing when what arrived is not
    that, NotFound, UploadClosed, UploadBusy, TenantLeaving, aws.errors.AwsError; the upload stays open then.
    """
    upload = _upload(upload_id)
    if not upload.is_open:
        return upload.version
    upload = _open_upload(upload_id)
    version = upload.version
    claim = _take(upload)
    try:
        for position, said in enumerate(_per_file(upload, checksums)):
            _make_file(upload, position, said)
        crashpoint("multipart:made")
        return hand_to_gate(version, actor, claim)
    except Exception:
        ours = AdapterVersion.objects.filter(pk=version.pk, state=VersionState.UPLOADING, claimed_until=claim)
        ours.update(claimed_until=None)
        raise


def abort_upload(*, upload_id: int) -> None:
    """Drop an open upload and what has arrived of it. Raises NotFound, UploadClosed, UploadBusy, aws.errors."""
    upload = _open_upload(upload_id)
    claim = _take(upload, for_good=True)
    forget_upload(upload.version, claim)


def parts_origin() -> str:
    """Scheme and host to which parts are sent, for a page's security policy; empty when AWS cannot be reached."""
    try:
        return multipart().origin()
    except errors.AwsError:
        return ""


def sweep_orphans() -> int:
    """Empty quarantine of what belongs to no upload of ours: parts of one that is not open, files of none; how many.

    A part that was on its way while its upload was aborted can bring it back; AWS says so, and bills for it. A file
    without a row is what a worker stored that stood still while its upload was swept, and then died.
    """
    store, swept = multipart(), 0
    for found in store.open_uploads(QUARANTINE):
        version = uploaded_to(found.key)
        if version and not AdapterVersion.objects.filter(public_id=version, state=VersionState.UPLOADING).exists():
            store.abort(found.key, found.upload_id)
            swept += 1
    # A row is there before its first file is stored, so a file without one stays without one.
    prefixes = {facts.key.rpartition("/")[0]: uploaded_to(facts.key) for facts in artifacts().list(QUARANTINE)}
    for prefix, version in prefixes.items():
        if version and not AdapterVersion.objects.filter(public_id=version).exists():
            swept += clear(f"{prefix}/")
    return swept


def _refuse_unusable(files: Sequence[AnnouncedFile], max_bytes: int) -> None:
    if not 0 < len(files) <= MAX_PARTS:
        raise UploadInvalid(f"An upload has 1 to {MAX_PARTS} files.", hint="Send the adapter's two files.")
    for index, file in enumerate(files):
        if not 0 < len(file.name) <= MAX_PART_NAME or not file.name.isprintable():
            detail = f"A file name has 1 to {MAX_PART_NAME} printable characters."
            raise UploadInvalid(detail, errors=[FieldError(f"/files/{index}/name", "invalid", detail)])
        if file.size < 1:
            detail = f"{file.name} is empty."
            raise UploadInvalid(detail, errors=[FieldError(f"/files/{index}/size", "invalid", detail)])
    total = sum(file.size for file in files)
    most = min(max_bytes, MAX_UPLOAD_BYTES)
    if total > most:
        raise QuotaExceeded(
            f"The upload has {total:,} bytes; the tier takes adapters of up to {most:,}.",
            hint="Train with a lower rank or save in bfloat16, or move the tenant to a larger tier.",
        )


def _upload(upload_id: int) -> AdapterUpload:
    upload = AdapterUpload.objects.select_related("version__tenant").filter(pk=upload_id).first()
    if upload is None:
        raise NotFound("There is no such upload.")
    return upload


def _open_upload(upload_id: int, *, is_in_bucket: bool = True) -> AdapterUpload:
    upload = _upload(upload_id)
    if not upload.is_open:
        raise UploadClosed("The upload is complete.", hint="Look at its version.")
    if upload.expires_at <= clock.real_now():
        raise UploadClosed("The upload has expired.", hint="Begin a new one.")
    if is_in_bucket and not upload.storage_ids:
        raise UploadBusy("The upload is still being opened.")
    return upload


def _take(upload: AdapterUpload, *, for_good: bool = False) -> datetime:
    """Claim the upload for this request, see `take_upload`; `for_good` nobody completes it any more, come what may.

    Raises UploadBusy, UploadClosed.
    """
    with transaction.atomic(durable=True):
        claim = take_upload(upload.version)
        if claim is None:
            raise UploadBusy("Another request is completing or dropping this upload.", hint="Look at it in a moment.")
        # Asked again behind the claim's lock: it may have been dropped since it was read.
        opened, now = AdapterUpload.objects.filter(pk=upload.pk, expires_at__gt=clock.real_now()), clock.real_now()
        if not (opened.update(expires_at=now) if for_good else opened.exists()):
            raise UploadClosed("The upload has expired or was dropped.", hint="Begin a new one.")
    return claim


def _per_file(upload: AdapterUpload, checksums: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    for position, file in enumerate(upload.files):
        said = len(checksums[position]) if position < len(checksums) else 0
        if said != file["parts"]:
            detail = f"{file['name']} has {file['parts']} parts; {said} checksums were sent."
            raise PartsMissing(detail, errors=[FieldError(f"/files/{position}", "parts_missing", detail)])
    return list(checksums)[: len(upload.files)]


def _make_file(upload: AdapterUpload, position: int, checksums: Sequence[str]) -> None:
    """One object of one file's parts; quiet when an earlier try has made it, even one whose reply was lost."""
    file, key, storage_id = upload.files[position], _key(upload.version, position), upload.storage_ids[position]
    try:
        found = multipart().parts(key, storage_id)
        _refuse_others(upload, position, found, checksums)
        multipart().complete(key, storage_id, found)
    except errors.Missing as error:
        if not _is_made(key, file["size"]):
            raise _dropped() from error
    except errors.InvalidRequest as error:
        raise _missing_parts(position, file["name"], []) from error


def _refuse_others(upload: AdapterUpload, position: int, found: Sequence[PartFacts], checksums: Sequence[str]) -> None:
    wanted = [(number, _size_of(upload, position, number), sha256) for number, sha256 in enumerate(checksums, 1)]
    arrived = [(part.number, part.size_bytes, part.sha256) for part in found]
    if arrived != wanted:
        missing = [number for number, *_ in sorted(set(wanted) - set(arrived))][:_TOLD_PARTS]
        raise _missing_parts(position, upload.files[position]["name"], missing)


def _is_made(key: str, size: int) -> bool:
    try:
        return artifacts().head(key).size_bytes == size
    except errors.Missing:
        return False


def _missing_parts(position: int, name: str, numbers: Sequence[int]) -> PartsMissing:
    pointers = [
        FieldError(f"/files/{position}/parts/{number}", "part_missing", f"Part {number} of {name} is not there.")
        for number in numbers
    ]
    return PartsMissing(
        f"Not all parts of {name} have arrived as they were announced.",
        hint="Ask which parts are there, send the others again, and complete the upload then.",
        errors=pointers,
    )


def _dropped() -> UploadClosed:
    return UploadClosed("The bucket has no such upload any more.", hint="Begin a new one.")


def _size_of(upload: AdapterUpload, position: int, number: int) -> int:
    size: int = upload.version.parts[position]["size"]
    return min(upload.part_bytes, size - (number - 1) * upload.part_bytes)


def _key(version: AdapterVersion, position: int) -> str:
    return quarantine_key(version.tenant, version, position)
