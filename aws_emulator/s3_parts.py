"""What moto leaves out of S3: checksums are compared and kept, presigned addresses end, lost uploads are missing.

A part's sha256 is kept on moto's own part object, so it survives a restart with everything else.
"""

import base64
import hashlib
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from aws_emulator.aws_others import OtherServices
from aws_emulator.wire import AwsError, Reply, Request

_CHECKSUM = "x-amz-checksum-sha256"
_OF_UPLOAD = {
    "PUT": "UploadPart",
    "GET": "ListParts",
    "POST": "CompleteMultipartUpload",
    "DELETE": "AbortMultipartUpload",
}
_PART = re.compile(rb"<Part>(.*?)</Part>", re.S)
_FIELD = re.compile(rb"<(PartNumber|ETag|ChecksumSHA256)>(.*?)</", re.S)
_NUMBER = re.compile(rb"<PartNumber>(\d+)</PartNumber>")


def operation_of(request: Request, key: str) -> str | None:
    """The multipart operation that this request asks for; None when it is none of them."""
    query = _query(request)
    if key and "uploadId" in query:
        return _OF_UPLOAD.get(request.method)
    if "uploads" in query:
        return {("POST", True): "CreateMultipartUpload", ("GET", False): "ListMultipartUploads"}.get(
            (request.method, bool(key))
        )
    return None


def check(request: Request, operation: str, others: OtherServices) -> None:
    """Refuse what S3 would refuse and moto does not. Raises AwsError."""
    query = _query(request)
    _refuse_expired(query)
    if operation in ("PutObject", "UploadPart"):
        _refuse_other_bytes(request)
    if operation in _OF_UPLOAD.values() and operation != "AbortMultipartUpload":
        parts = _parts(request, others)
        if parts is None:
            raise AwsError("NoSuchUpload", "The specified upload does not exist.", 404)
        if operation == "CompleteMultipartUpload":
            _refuse_other_parts(request.body, parts)


def remember(request: Request, operation: str, others: OtherServices, reply: Reply) -> None:
    """Keep the checksum of a part that has arrived, and tell those that were kept."""
    if reply.status >= 300 or operation not in ("UploadPart", "ListParts"):
        return
    parts = _parts(request, others) or {}
    if operation == "UploadPart":
        checksum = request.headers.get(_CHECKSUM)
        if checksum:
            parts[int(_query(request)["partNumber"])].sha256_of_part = checksum
            reply.headers.append((_CHECKSUM, checksum))
        return

    def with_checksum(found: re.Match[bytes]) -> bytes:
        checksum = getattr(parts.get(int(found[1])), "sha256_of_part", "")
        return found[0] + (f"<ChecksumSHA256>{checksum}</ChecksumSHA256>".encode() if checksum else b"")

    reply.body = _NUMBER.sub(with_checksum, reply.body)
    reply.headers = [(name, value) for name, value in reply.headers if name.lower() != "content-length"]


def _refuse_expired(query: Mapping[str, str]) -> None:
    if "X-Amz-Signature" not in query:
        return
    signed = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if time.time() > signed.timestamp() + int(query["X-Amz-Expires"]):
        raise AwsError("AccessDenied", "Request has expired", 403)


def _refuse_other_bytes(request: Request) -> None:
    said = request.headers.get(_CHECKSUM)
    if said is None or "aws-chunked" in request.headers.get("content-encoding", ""):
        return
    if base64.b64encode(hashlib.sha256(request.body).digest()).decode() != said:
        raise AwsError("BadDigest", "The SHA256 you specified did not match the calculated checksum.")


def _refuse_other_parts(body: bytes, parts: Mapping[int, Any]) -> None:
    for block in _PART.findall(body):
        said = {name.decode(): value.decode().strip('"').replace("&quot;", "") for name, value in _FIELD.findall(block)}
        part = parts.get(int(said.get("PartNumber", 0)))
        kept = getattr(part, "sha256_of_part", "")
        if part is None or part.etag.strip('"') != said.get("ETag") or kept != said.get("ChecksumSHA256", ""):
            raise AwsError(
                "InvalidPart",
                "One or more of the specified parts could not be found. The part may not have been uploaded, or the "
                "specified entity tag may not match the part's entity tag.",
            )


def _parts(request: Request, others: OtherServices) -> dict[int, Any] | None:
    bucket = request.path.lstrip("/").partition("/")[0]
    return others.parts_of(others.account_of(request.access_key), bucket, _query(request)["uploadId"])


def _query(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.query, keep_blank_values=True))
