"""The bucket: what is stored is what was meant, absence is AWS's word, versions go too."""

import hashlib
import io

import boto3
import pytest
from django.conf import settings

from aws import connect, errors


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_an_object_is_stored_once_and_never_replaced(aws):
    store = connect.artifacts()
    assert store.put("a/one", b"first", sha256=sha(b"first")) is True
    assert store.put("a/one", b"other", sha256=sha(b"other")) is False
    with store.open("a/one") as stream:
        assert stream.read() == b"first"
    assert store.put("a/one", b"other", sha256=sha(b"other"), if_absent=False) is True


def test_streams_ranges_and_facts(aws):
    store, data = connect.artifacts(), bytes(range(256)) * 1000
    store.put("a/big", io.BytesIO(data), sha256=sha(data))
    assert store.head("a/big").size_bytes == len(data)
    # S3 keeps the checksum that was sent and refuses other bytes; the local one does neither and answers none.
    assert store.head("a/big").sha256 in ("", sha(data))
    assert store.read_range("a/big", 10, 20) == data[10:20]
    assert store.read_range("a/big", len(data) - 5, len(data) + 100) == data[-5:]
    assert store.read_range("a/big", 7, 7) == b""
    with store.open("a/big") as stream:
        assert b"".join(iter(lambda: stream.read(1000), b"")) == data
    assert store.url("a/big") == f"s3://{settings.ARTIFACT_BUCKET}/a/big"


@pytest.mark.parametrize("look", ["head", "open", "range"])
def test_absence_is_missing(aws, look):
    store = connect.artifacts()
    with pytest.raises(errors.Missing):
        {"head": store.head, "open": store.open, "range": lambda key: store.read_range(key, 0, 1)}[look]("not/there")


def test_deleting_takes_every_version_and_only_that_key(aws):
    s3, store = boto3.client("s3"), connect.artifacts()
    s3.put_bucket_versioning(Bucket=settings.ARTIFACT_BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for data in (b"1", b"2", b"3"):
        store.put("a/key", data, sha256=sha(data), if_absent=False)
    store.put("a/key2", b"x", sha256=sha(b"x"))
    store.delete("a/key")
    store.delete("a/key")
    left = s3.list_object_versions(Bucket=settings.ARTIFACT_BUCKET, Prefix="a/")
    assert [version["Key"] for version in left.get("Versions", [])] == ["a/key2"]
    assert not left.get("DeleteMarkers")


def test_listing_is_complete(aws):
    store = connect.artifacts()
    for number in range(23):
        store.put(f"many/{number:03d}", b"x", sha256=sha(b"x"))
    assert [facts.key for facts in store.list("many/")] == [f"many/{number:03d}" for number in range(23)]
    assert list(store.list("none/")) == []
