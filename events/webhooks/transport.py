"""One POST to a stranger's server, who has no say in where it goes, how long it takes and how much is read.

The connection goes to an address that was checked a moment ago, while Host and the certificate are those of the name.
No redirects, no proxies, no cookies, no kept connections. Resolving, connecting, the handshake and the whole answer
share 15 seconds of wall clock, so a server that drips a byte a second is cut off like one that is silent.
"""

import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from events.webhooks import destinations
from events.webhooks.destinations import Address, Destination, DestinationRefused, Resolver, Unresolvable

CONNECT_SECONDS = 3.0
TOTAL_SECONDS = 15.0
LARGEST_RESPONSE = 64 * 1024
# An answer may have headers too; more than this in all is no answer.
LARGEST_ANSWER = 4 * LARGEST_RESPONSE
ADDRESSES_TRIED = 3
USER_AGENT = "controlplane-webhooks/1"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: the status, and the body's first 64 KiB."""

    status: int
    body: bytes


class NotDelivered(Exception):
    """No answer came. `code` is one of refused, unresolvable, connection, tls, timeout, bad_reply."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Deadline:
    """Seconds of wall clock that several steps share."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    def left(self, at_most: float | None = None) -> float:
        """What is left, never more than `at_most`. Raises TimeoutError when nothing is."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for one delivery is over")
        return left if at_most is None else min(left, at_most)


def post(
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes,
    allow_loopback: bool,
    resolve: Resolver = destinations.resolve_name,
    tls: ssl.SSLContext | None = None,
    total_seconds: float = TOTAL_SECONDS,
) -> Reply:
    """Send `body` and read the answer, whatever its status. Raises NotDelivered and nothing else.

    `tls` says which certificates are trusted, by default the system's.
    """
    deadline = Deadline(total_seconds)
    try:
        destination = destinations.read_url(url, allow_loopback=allow_loopback)
        addresses = destinations.checked_addresses(destination, allow_loopback=allow_loopback, resolve=resolve)
        connection = _connect(destination, addresses, deadline)
        with connection:
            speaking = _secured(connection, destination, tls, deadline)
            with speaking:
                _send(speaking, _request(destination, headers, body), deadline)
                return _read(speaking, deadline)
    except DestinationRefused as error:
        raise NotDelivered("refused", str(error)) from error
    except Unresolvable as error:
        raise NotDelivered("unresolvable", str(error)) from error
    except TimeoutError as error:
        raise NotDelivered("timeout", "No complete answer within the time for one delivery.") from error
    except ssl.SSLError as error:
        raise NotDelivered("tls", f"No trusted connection: {error.reason or error}.") from error
    except (http.client.HTTPException, ValueError) as error:
        raise NotDelivered("bad_reply", f"The answer is not HTTP that can be read: {type(error).__name__}.") from error
    except OSError as error:
        raise NotDelivered("connection", f"No connection: {error.strerror or type(error).__name__}.") from error


def _connect(destination: Destination, addresses: list[Address], deadline: Deadline) -> socket.socket:
    """A connection to the first address that answers; the name is not asked again. Raises OSError."""
    failure: OSError = OSError("no address")
    for address in addresses[:ADDRESSES_TRIED]:
        try:
            return socket.create_connection(
                (str(address), destination.port), timeout=deadline.left(at_most=CONNECT_SECONDS)
            )
        except OSError as error:
            failure = error
    raise failure


def _secured(
    connection: socket.socket, destination: Destination, tls: ssl.SSLContext | None, deadline: Deadline
) -> socket.socket:
    """The connection itself for http, and for https one whose certificate is the name's."""
    if destination.scheme == "http":
        return connection
    context = tls or _system_trust()
    speaking = context.wrap_socket(connection, server_hostname=destination.host, do_handshake_on_connect=False)
    speaking.settimeout(deadline.left())
    speaking.do_handshake()
    return speaking


@lru_cache(maxsize=1)
def _system_trust() -> ssl.SSLContext:
    """Reading the trusted certificates takes 20 ms; once per process is enough."""
    return ssl.create_default_context()


def _request(destination: Destination, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [
        f"POST {destination.target} HTTP/1.1",
        f"Host: {destination.authority}",
        f"User-Agent: {USER_AGENT}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Accept-Encoding: identity",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body


def _send(connection: socket.socket, request: bytes, deadline: Deadline) -> None:
    rest = memoryview(request)
    while rest:
        connection.settimeout(deadline.left())
        rest = rest[connection.send(rest) :]


def _read(connection: socket.socket, deadline: Deadline) -> Reply:
    response = http.client.HTTPResponse(_Answer(connection, deadline), method="POST")  # type: ignore[arg-type]
    try:
        response.begin()
        body = b""
        try:
            body = response.read(LARGEST_RESPONSE)
        except http.client.IncompleteRead as error:
            body = error.partial  # the status has been said; a body that is cut short changes nothing about it
        return Reply(response.status, body[:LARGEST_RESPONSE])
    finally:
        response.close()


class _Answer(io.RawIOBase):
    """The bytes of an answer, as http.client wants to read them: at most so many, and before the deadline."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection = connection
        self._deadline = deadline
        self._left = LARGEST_ANSWER

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What http.client asks a socket for."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # any writable buffer
        """Up to as many bytes as fit. Raises TimeoutError, and ValueError for an answer that does not end."""
        self._connection.settimeout(self._deadline.left())
        count = self._connection.recv_into(buffer)
        self._left -= count
        if self._left < 0:
            raise ValueError("the answer does not end")
        return count
