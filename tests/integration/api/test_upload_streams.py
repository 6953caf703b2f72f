"""Uploads over real connections: cut half-way, and larger than what a process should hold."""

import http.client
import socket
import tracemalloc
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from aws.connect import artifacts
from models_registry.models import Adapter, AdapterVersion
from tests.factories import make_tenant
from tests.integration.api.client import Caller, caller
from tests.integration.api.making import make_adapter
from tests.unit.models_registry.making import archive, good

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("aws")]

BOUNDARY = "cut-here"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
BEGIN = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="adapter.tar.gz"\r\n'
    "Content-Type: application/gzip\r\n\r\n"
).encode()
END = f"\r\n--{BOUNDARY}--\r\n".encode()
kinds = pytest.mark.parametrize("kind", ["application/gzip", MULTIPART])


@pytest.fixture
def adapter() -> Adapter:
    return make_adapter(make_tenant())


@pytest.fixture
def ops() -> Caller:
    return caller()


def body(kind: str, content: bytes) -> bytes:
    return BEGIN + content + END if kind == MULTIPART else content


@kinds
def test_an_upload_cut_half_way_leaves_nothing(live_server: object, adapter: Adapter, ops: Caller, kind: str) -> None:
    at = urlsplit(str(live_server))
    whole = body(kind, archive(good()))
    with socket.create_connection((at.hostname, at.port), timeout=20) as connection:
        head = (
            f"POST /api/v1/adapters/{adapter.public_id}/versions HTTP/1.1\r\nHost: {at.hostname}\r\n"
            f"Authorization: Bearer {ops.key}\r\nContent-Type: {kind}\r\nContent-Length: {len(whole)}\r\n\r\n"
        )
        connection.sendall(head.encode() + whole[: len(whole) // 2])
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert b"400 Bad Request" in answer.split(b"\r\n")[0]
    assert b'"code":"upload_cut_short"' in answer
    assert not AdapterVersion.objects.exists()
    assert list(artifacts().list("")) == []


@kinds
def test_an_upload_is_never_whole_in_memory(live_server: object, adapter: Adapter, ops: Caller, kind: str) -> None:
    at, pieces, piece = urlsplit(str(live_server)), 768, bytes(64 << 10)
    size = pieces * len(piece)

    def sent() -> Iterator[bytes]:
        yield BEGIN if kind == MULTIPART else b""
        for _ in range(pieces):
            yield piece
        yield END if kind == MULTIPART else b""

    connection = http.client.HTTPConnection(str(at.hostname), at.port, timeout=60)
    tracemalloc.start()
    connection.request(
        "POST",
        f"/api/v1/adapters/{adapter.public_id}/versions",
        body=(chunk for chunk in sent() if chunk),
        headers={
            "Authorization": f"Bearer {ops.key}",
            "Content-Type": kind,
            "Content-Length": str(size + len(body(kind, b""))),
        },
    )
    answer = connection.getresponse()
    status, said = answer.status, answer.read()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    connection.close()
    assert status == 202, said
    assert peak < size // 3, f"{peak >> 20} MiB for an upload of {size >> 20} MiB"
