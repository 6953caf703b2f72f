"""Uploads in parts over a boto3 `s3` client."""

import base64
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from aws import errors
from aws.boto.translate import call
from aws.multipart import OpenUpload, PartFacts, PresignedPart

CHECKSUM_HEADER = "x-amz-checksum-sha256"


class BotoMultipart:
    """`MultipartStore` for one bucket."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def begin(self, key: str) -> str:
        """See MultipartStore.begin."""
        reply = call(
            self._client.create_multipart_upload,
            "CreateMultipartUpload",
            "UploadId",
            Bucket=self._bucket,
            Key=key,
            ChecksumAlgorithm="SHA256",
        )
        return str(reply["UploadId"])

    def presign(self, key: str, upload_id: str, *, number: int, size: int, sha256: str, seconds: int) -> PresignedPart:
        """See MultipartStore.presign."""
        checksum = _base64(sha256)
        url = self._client.generate_presigned_url(
            "upload_part",
            Params={
                "Bucket": self._bucket,
                "Key": key,
                "UploadId": upload_id,
                "PartNumber": number,
                "ContentLength": size,
                "ChecksumSHA256": checksum,
            },
            ExpiresIn=seconds,
        )
        # The length is signed too; every HTTP client sends it by itself, and a browser lets nobody else set it.
        return PresignedPart(url=url, headers={CHECKSUM_HEADER: checksum})

    def parts(self, key: str, upload_id: str) -> list[PartFacts]:
        """See MultipartStore.parts."""
        found: list[PartFacts] = []
        marker = 0
        while True:
            reply = call(
                self._client.list_parts,
                "ListParts",
                "IsTruncated",
                Bucket=self._bucket,
                Key=key,
                UploadId=upload_id,
                PartNumberMarker=marker,
            )
            found += [
                PartFacts(part["PartNumber"], part["Size"], _hex(part.get("ChecksumSHA256", "")), part["ETag"])
                for part in reply.get("Parts", [])
            ]
            if not reply["IsTruncated"]:
                return found
            marker = reply["NextPartNumberMarker"]

    def complete(self, key: str, upload_id: str, parts: Sequence[PartFacts]) -> None:
        """See MultipartStore.complete."""
        named = [
            {"PartNumber": part.number, "ETag": part.etag, "ChecksumSHA256": _base64(part.sha256)} for part in parts
        ]
        call(
            self._client.complete_multipart_upload,
            "CompleteMultipartUpload",
            "ETag",
            Bucket=self._bucket,
            Key=key,
            UploadId=upload_id,
            MultipartUpload={"Parts": named},
        )

    def abort(self, key: str, upload_id: str) -> None:
        """See MultipartStore.abort."""
        with suppress(errors.Missing):
            call(
                self._client.abort_multipart_upload,
                "AbortMultipartUpload",
                Bucket=self._bucket,
                Key=key,
                UploadId=upload_id,
            )

    def open_uploads(self, prefix: str) -> Iterator[OpenUpload]:
        """See MultipartStore.open_uploads."""
        arguments: dict[str, Any] = {"Bucket": self._bucket, "Prefix": prefix}
        while True:
            reply = call(self._client.list_multipart_uploads, "ListMultipartUploads", "IsTruncated", **arguments)
            for found in reply.get("Uploads", []):
                yield OpenUpload(found["Key"], found["UploadId"], found["Initiated"])
            if not reply["IsTruncated"]:
                return
            arguments |= {"KeyMarker": reply["NextKeyMarker"], "UploadIdMarker": reply["NextUploadIdMarker"]}

    def origin(self) -> str:
        """See MultipartStore.origin."""
        anywhere = self._client.generate_presigned_url("get_object", Params={"Bucket": self._bucket, "Key": "x"})
        parts = urlsplit(anywhere)
        return f"{parts.scheme}://{parts.netloc}"


def _base64(sha256: str) -> str:
    return base64.b64encode(bytes.fromhex(sha256)).decode()


def _hex(checksum: str) -> str:
    return base64.b64decode(checksum).hex()
