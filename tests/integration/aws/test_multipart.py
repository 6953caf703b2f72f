"""Parts of an upload: each is held to its checksum, and what is dropped is gone."""

import hashlib
import random
import urllib.error
import urllib.request

import pytest

from aws import connect, errors
from aws.multipart import PartFacts, PresignedPart

FIRST, LAST = random.Random(1).randbytes(5 << 20), b"the end"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(part: PresignedPart, data: bytes) -> int:
    headers = {**part.headers, "Content-Type": "application/octet-stream"}
    try:
        with urllib.request.urlopen(urllib.request.Request(part.url, data, headers, method="PUT")) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


def send(upload_id: str, number: int, data: bytes, seconds: int = 60) -> int:
    store = connect.multipart()
    return put(store.presign("q/a", upload_id, number=number, size=len(data), sha256=sha(data), seconds=seconds), data)


def test_parts_become_the_object(aws):
    store = connect.multipart()
    upload_id = store.begin("q/a")
    assert [(found.key, found.upload_id) for found in store.open_uploads("q/")] == [("q/a", upload_id)]
    assert send(upload_id, 2, LAST) == send(upload_id, 1, FIRST) == 200
    parts = store.parts("q/a", upload_id)
    assert [(part.number, part.size_bytes, part.sha256) for part in parts] == [
        (1, len(FIRST), sha(FIRST)),
        (2, len(LAST), sha(LAST)),
    ]
    store.complete("q/a", upload_id, parts)
    assert connect.artifacts().open("q/a").read() == FIRST + LAST
    assert list(store.open_uploads("q/")) == []


def test_other_bytes_than_were_announced_are_refused(aws):
    store = connect.multipart()
    upload_id = store.begin("q/a")
    part = store.presign("q/a", upload_id, number=1, size=len(LAST), sha256=sha(LAST), seconds=60)
    assert put(part, b"the enD") == 400
    assert store.parts("q/a", upload_id) == []
    assert put(part, LAST) == 200
    other = PartFacts(1, len(LAST), sha(b"another"), store.parts("q/a", upload_id)[0].etag)
    with pytest.raises(errors.InvalidRequest):
        store.complete("q/a", upload_id, [other])
    with pytest.raises(errors.Missing):
        connect.artifacts().head("q/a")


def test_an_address_ends(aws):
    assert send(connect.multipart().begin("q/a"), 1, LAST, seconds=-1) == 403


def test_a_dropped_upload_is_gone(aws):
    store = connect.multipart()
    upload_id = store.begin("q/a")
    assert send(upload_id, 1, LAST) == 200
    store.abort("q/a", upload_id)
    store.abort("q/a", upload_id)
    assert list(store.open_uploads("")) == []
    assert send(upload_id, 1, LAST) == 404
    for look in (lambda: store.parts("q/a", upload_id), lambda: store.complete("q/a", upload_id, [])):
        with pytest.raises(errors.Missing):
            look()


def test_the_origin_is_where_parts_go(aws):
    store = connect.multipart()
    part = store.presign("q/a", "u", number=1, size=1, sha256=sha(b"x"), seconds=60)
    assert part.url.startswith(store.origin() + "/")
    assert part.url not in repr(part)
