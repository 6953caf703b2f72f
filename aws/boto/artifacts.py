"""The artifact bucket over a boto3 `s3` client."""

import base64
import io
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import urllib3.exceptions
from botocore.exceptions import BotoCoreError

from aws import errors
from aws.boto.translate import call, translate
from aws.gateway import ArtifactFacts, StoredVersion


class BotoArtifacts:
    """`ArtifactStore` for one bucket."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(self, key: str, body: bytes | BinaryIO, *, sha256: str, if_absent: bool = True) -> bool:
        """See ArtifactStore.put."""
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        condition = {"IfNoneMatch": "*"} if if_absent else {}
        try:
            call(
                self._client.put_object,
                "PutObject",
                "ETag",
                Bucket=self._bucket,
                Key=key,
                Body=body,
                ChecksumSHA256=checksum,
                **condition,
            )
        except errors.PreconditionFailed:
            return False
        return True

    def open(self, key: str) -> BinaryIO:
        """See ArtifactStore.open."""
        reply = call(self._client.get_object, "GetObject", "Body", "ContentLength", Bucket=self._bucket, Key=key)
        return cast(BinaryIO, io.BufferedReader(_ObjectStream(reply["Body"]), buffer_size=1 << 16))

    def head(self, key: str) -> ArtifactFacts:
        """See ArtifactStore.head."""
        reply = call(
            self._client.head_object,
            "HeadObject",
            "ContentLength",
            Bucket=self._bucket,
            Key=key,
            ChecksumMode="ENABLED",
        )
        checksum = reply.get("ChecksumSHA256", "")
        digest = base64.b64decode(checksum).hex() if checksum else ""
        return ArtifactFacts(key=key, size_bytes=reply["ContentLength"], sha256=digest)

    def read_range(self, key: str, start: int, end: int) -> bytes:
        """See ArtifactStore.read_range."""
        if end <= start:
            return b""
        reply = call(
            self._client.get_object, "GetObject", "Body", Bucket=self._bucket, Key=key, Range=f"bytes={start}-{end - 1}"
        )
        return _ObjectStream(reply["Body"]).readall()

    def delete(self, key: str) -> None:
        """See ArtifactStore.delete."""
        for version in [*self.versions(key)]:
            if version.key == key:
                self.delete_version(version)

    def versions(self, prefix: str) -> Iterator[StoredVersion]:
        """See ArtifactStore.versions."""
        arguments = {"Bucket": self._bucket, "Prefix": prefix}
        while True:
            reply = call(self._client.list_object_versions, "ListObjectVersions", "IsTruncated", **arguments)
            for entry in reply.get("Versions", []):
                yield StoredVersion(entry["Key"], entry["VersionId"], is_delete_marker=False)
            for entry in reply.get("DeleteMarkers", []):
                yield StoredVersion(entry["Key"], entry["VersionId"], is_delete_marker=True)
            if not reply["IsTruncated"]:
                return
            arguments["KeyMarker"] = reply["NextKeyMarker"]
            arguments.pop("VersionIdMarker", None)
            if reply.get("NextVersionIdMarker"):
                arguments["VersionIdMarker"] = reply["NextVersionIdMarker"]

    def delete_version(self, version: StoredVersion) -> None:
        """See ArtifactStore.delete_version."""
        place = {"Bucket": self._bucket, "Key": version.key, "VersionId": version.version_id}
        call(self._client.delete_object, "DeleteObject", **place)

    def list(self, prefix: str) -> Iterator[ArtifactFacts]:
        """See ArtifactStore.list."""
        token: str | None = None
        while True:
            extra = {"ContinuationToken": token} if token else {}
            reply = call(
                self._client.list_objects_v2,
                "ListObjectsV2",
                "IsTruncated",
                Bucket=self._bucket,
                Prefix=prefix,
                **extra,
            )
            for entry in reply.get("Contents", []):
                yield ArtifactFacts(key=entry["Key"], size_bytes=entry["Size"])
            if not reply["IsTruncated"]:
                return
            token = reply["NextContinuationToken"]

    def make_bucket(self, region: str) -> None:
        """See ArtifactStore.make_bucket."""
        # The oldest region is the one that must not be named.
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        try:
            call(self._client.create_bucket, "CreateBucket", Bucket=self._bucket, **place)
        except errors.AlreadyExists as error:
            if error.code != "BucketAlreadyOwnedByYou":
                raise
        closed = dict.fromkeys(
            ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
        )
        call(
            self._client.put_public_access_block,
            "PutPublicAccessBlock",
            Bucket=self._bucket,
            PublicAccessBlockConfiguration=closed,
        )

    def url(self, key: str) -> str:
        """See ArtifactStore.url."""
        return f"s3://{self._bucket}/{key}"


class _ObjectStream(io.RawIOBase):
    """A GetObject body as a plain stream whose failures are ours; a short body is an error, not an end."""

    def __init__(self, body: Any) -> None:
        super().__init__()
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def readall(self) -> bytes:
        return self._read(None)

    def close(self) -> None:
        if not self.closed:
            self._body.close()
        super().close()

    def _read(self, amount: int | None) -> bytes:
        try:
            return cast(bytes, self._body.read(amount))
        except (BotoCoreError, urllib3.exceptions.HTTPError) as error:
            raise translate(error, "GetObject") from error
