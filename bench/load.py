"""A client that costs next to nothing beside the servers that it measures: raw HTTP/1.1, one thread, several at once.

It keeps a connection open where the server does, and opens a new one where the server closes it.
"""

import os
import re
import selectors
import socket
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_STALLED_SECONDS = 30
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Round:
    """What one round of requests took, by the clock, per request, and in the servers' processors."""

    per_second: float
    p50_seconds: float
    cpu_seconds: float  # of the servers' processes, per request
    last_body: bytes


@dataclass
class _Lane:
    """One request at a time on one connection."""

    connection: socket.socket
    began: float = 0.0
    sent: bytes = b""
    arrived: bytearray = field(default_factory=bytearray)


def request(
    method: str, address: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> bytes:
    """The bytes of one request to `http://host:port`."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {urlsplit(address).netloc}", "Accept: application/json"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def drive(address: str, requests: Sequence[bytes], *, at_once: int, servers: Sequence[int] = ()) -> Round:
    """Send all requests, `at_once` of them at any moment; `servers` are the processes whose time is counted.

    Raises RuntimeError for any answer but a 2xx with a Content-Length, and when nothing answers for half a minute.
    """
    place = urlsplit(address)
    where = (place.hostname or "", place.port or 80)
    waiting, seconds, body = iter(requests), [], b""
    spent, began = processor_seconds(servers), time.perf_counter()
    with selectors.DefaultSelector() as selector:
        lanes = [_Lane(_connect(where)) for _ in range(at_once)]
        working = sum(_begin(lane, waiting, selector) for lane in lanes)
        while working:
            ready = selector.select(_STALLED_SECONDS)
            if not ready:
                raise RuntimeError(f"{address} stopped answering")
            for key, _ in ready:
                lane: _Lane = key.data
                if _was_dropped(lane):
                    selector.unregister(lane.connection)
                    _send_again(lane, where, selector)
                    continue
                answer = _whole(lane.arrived)
                if answer is None:
                    continue
                head, body = answer
                seconds.append(time.perf_counter() - lane.began)
                selector.unregister(lane.connection)
                if _CLOSES.search(head):
                    lane.connection.close()
                    lane.connection = _connect(where)
                if not _begin(lane, waiting, selector):
                    working -= 1
        for lane in lanes:
            lane.connection.close()
    took = time.perf_counter() - began
    spent = processor_seconds(servers) - spent
    return Round(len(requests) / took, statistics.median(seconds), spent / len(requests), body)


def processor_seconds(processes: Sequence[int]) -> float:
    """What these processes and all below them have used so far; those that have ended count with their parents."""
    if not processes:
        return 0.0
    used: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended meanwhile
                continue
            used[int(folder.name)] = sum(int(ticks) for ticks in fields[11:15])
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    family, found = list(processes), 0
    while family:
        member = family.pop()
        found += used.get(member, 0)
        family += children.get(member, ())
    return found / _TICKS_PER_SECOND


def _connect(where: tuple[str, int]) -> socket.socket:
    connection = socket.create_connection(where, timeout=_STALLED_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _begin(lane: _Lane, waiting: Iterator[bytes], selector: selectors.BaseSelector) -> bool:
    """Send the next request on this lane; False when there is none."""
    following = next(waiting, None)
    if following is None:
        return False
    lane.sent = following
    lane.arrived.clear()
    lane.began = time.perf_counter()
    lane.connection.sendall(following)
    selector.register(lane.connection, selectors.EVENT_READ, lane)
    return True


def _was_dropped(lane: _Lane) -> bool:
    """Read what has come; True when the server closed a connection that it had kept, before it answered."""
    try:
        piece = lane.connection.recv(1 << 18)
    except ConnectionResetError:
        piece = b""
    lane.arrived += piece
    return not lane.arrived


def _send_again(lane: _Lane, where: tuple[str, int], selector: selectors.BaseSelector) -> None:
    """As every client does with a kept connection that was closed under its request."""
    lane.connection.close()
    lane.connection = _connect(where)
    lane.connection.sendall(lane.sent)
    selector.register(lane.connection, selectors.EVENT_READ, lane)


def _whole(arrived: bytearray) -> tuple[bytes, bytes] | None:
    """Head and body once all has arrived. Raises RuntimeError for an answer that is no success."""
    head, end, body = bytes(arrived).partition(b"\r\n\r\n")
    if not end and arrived:
        return None
    length = _LENGTH.search(head)
    if not head.startswith(b"HTTP/1.1 2") or length is None:
        raise RuntimeError(f"not a success: {bytes(arrived[:1500])!r}")
    return (head, body) if len(body) >= int(length[1]) else None
