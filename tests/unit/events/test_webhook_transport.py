"""One POST against servers that answer, lie, hang, drip, talk without end and show wrong certificates."""

import datetime
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from events.webhooks import transport
from events.webhooks.transport import LARGEST_RESPONSE, NotDelivered, Reply, post
from tests.support.receivers import closed_port, receiving, speaking


def send(url: str, **options: Any) -> Reply:
    return post(url, **{"headers": {"webhook-id": "evt_1"}, "body": b"{}", "allow_loopback": True, **options})


def failure(url: str, **options: Any) -> str:
    with pytest.raises(NotDelivered) as caught:
        send(url, **options)
    return caught.value.code


def says(*parts: bytes, pause: float = 0) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)

    return answer


def test_the_message_arrives_whole_with_its_headers() -> None:
    body = "髙﨑".encode() * 3000
    with receiving() as receiver:
        assert send(receiver.url + "?a=b", body=body) == Reply(200, b"thank you")
    [message] = receiver.received
    assert message.path == "/hook?a=b"
    assert message.body == body
    assert message.headers["host"] == receiver.url.split("/")[2]
    assert message.headers["content-type"] == "application/json"
    assert message.headers["webhook-id"] == "evt_1"
    assert "cookie" not in message.headers and "authorization" not in message.headers


@pytest.mark.parametrize("status", [200, 201, 204, 301, 302, 303, 307, 308, 400, 410, 429, 500, 503])
def test_every_status_is_told_and_no_redirect_is_followed(status: int) -> None:
    with receiving() as inner, receiving(status=status, headers={"Location": inner.url}, body=b"") as receiver:
        assert send(receiver.url).status == status
    assert inner.received == []
    assert len(receiver.received) == 1


def test_no_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as proxy, receiving() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert send(receiver.url).status == 200
    assert proxy.received == []


def test_an_endless_body_is_read_up_to_a_limit() -> None:
    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with speaking(endless) as port:
        assert send(f"http://127.0.0.1:{port}/") == Reply(200, b"x" * LARGEST_RESPONSE)


@pytest.mark.parametrize(
    "answer",
    [
        says(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 70000),
        says(*[b"HTTP/1.1 200 OK\r\n"], *[b"X-%d: y\r\n" % number for number in range(200)], b"\r\n"),
        says(b"HTTP/1.1 100 Continue\r\n\r\n" * 20000),
        says(b"\x00" * 100 + b"\r\n\r\n"),
        says(b"SSH-2.0-OpenSSH_9.6\r\n"),
        says(b"HTTP/1.1 99999 OK\r\n\r\n"),
        says(b"HTTP/1.1 abc OK\r\n\r\n"),
        says(b""),
    ],
    ids=["long header", "many headers", "endless 100", "zeros", "ssh", "status", "letters", "silence"],
)
def test_what_is_no_http_is_a_failure(answer: Callable[[socket.socket], None]) -> None:
    with speaking(answer) as port:
        assert failure(f"http://127.0.0.1:{port}/") in ("bad_reply", "connection")


@pytest.mark.parametrize("rest", [b"Content-Length: 100\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n9\r\nshort"])
def test_a_body_that_is_cut_short_does_not_change_the_status(rest: bytes) -> None:
    with speaking(says(b"HTTP/1.1 200 OK\r\n" + rest)) as port:
        assert send(f"http://127.0.0.1:{port}/").status == 200


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"])
def test_one_byte_at_a_time_does_not_stretch_the_time(first: bytes) -> None:
    with speaking(says(first, *[b"x"] * 100, pause=0.05)) as port:
        began = time.monotonic()
        assert failure(f"http://127.0.0.1:{port}/", total_seconds=0.4) == "timeout"
        assert time.monotonic() - began < 1.0


def test_a_silent_server_is_left_after_the_time() -> None:
    with receiving() as receiver:
        receiver.open.clear()
        assert failure(receiver.url, total_seconds=0.3) == "timeout"
    assert (transport.CONNECT_SECONDS, transport.TOTAL_SECONDS) == (3.0, 15.0)


def test_a_server_that_never_shakes_hands_is_left_after_the_time() -> None:
    with speaking(lambda _: time.sleep(0.6)) as port:
        assert failure(f"https://127.0.0.1:{port}/", total_seconds=0.3) == "timeout"


def test_nobody_listening_is_a_failure_to_connect() -> None:
    assert failure(f"http://127.0.0.1:{closed_port()}/") == "connection"


def test_a_second_address_is_tried_when_the_first_is_silent() -> None:
    with receiving() as receiver:
        port = receiver.url.split(":")[2].split("/")[0]
        assert send(f"http://receiver.test:{port}/", resolve=lambda *_: ["127.0.0.2", "127.0.0.1"]).status == 200
    assert receiver.received[0].headers["host"] == f"receiver.test:{port}"


def test_a_name_without_an_address_is_unresolvable() -> None:
    def unknown(*_: object) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    assert failure("https://nobody.example/", resolve=unknown) == "unresolvable"


# --- certificates -------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for receiver.test, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver.test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("receiver.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem", folder / "key.pem"


def test_the_certificate_is_that_of_the_name_while_the_connection_goes_to_the_address(
    certificate: tuple[Path, Path],
) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*certificate)
    asked_for: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    trusting = ssl.create_default_context(cafile=str(certificate[0]))

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with speaking(answer, tls=server) as port:
        to_here = {"resolve": lambda *_: ["127.0.0.1"], "total_seconds": 5}
        assert send(f"https://receiver.test:{port}/", tls=trusting, **to_here).status == 204
        assert asked_for == ["receiver.test"]
        assert failure(f"https://other.test:{port}/", tls=trusting, **to_here) == "tls"  # not its name
        assert failure(f"https://receiver.test:{port}/", **to_here) == "tls"  # nobody vouches for it


def test_many_at_once_do_not_share_a_deadline() -> None:
    with receiving() as receiver:
        replies: list[int] = []
        threads = [threading.Thread(target=lambda: replies.append(send(receiver.url).status)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert replies == [200] * 8
