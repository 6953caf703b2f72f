"""What counting tokens costs a request, the network excluded: sends to the table are timed and taken off.

The table is a server that agrees to everything: the local AWS copies all its tables for each transaction, which would
leave our half of the time to what its copying leaves in the caches.
"""

import http.server
import multiprocessing
import threading
import time
from typing import Any

from botocore.httpsession import URLLib3Session

HOST = "127.0.0.1"


class Agreeable(http.server.BaseHTTPRequestHandler):
    """Answers 200 and an empty object, and keeps the connection."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """The answer to everything."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/x-amz-json-1.0\r\n\r\n{}")

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is told."""


def serve() -> str:
    """Start the server in a process of its own that ends with this one; its address."""
    server = http.server.ThreadingHTTPServer((HOST, 0), Agreeable)
    multiprocessing.get_context("fork").Process(target=server.serve_forever, daemon=True).start()
    return f"http://{HOST}:{server.server_address[1]}"


class Sends:
    """How much wall-clock and CPU time this thread has spent sending requests to one address, and how many."""

    def __init__(self, url: str) -> None:
        self.count, self.wall, self.cpu = 0, 0.0, 0.0
        send: Any = URLLib3Session.send
        thread = threading.get_ident()

        def timed(session: URLLib3Session, request: Any) -> Any:
            if threading.get_ident() != thread or not request.url.startswith(url):
                return send(session, request)
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                return send(session, request)
            finally:
                self.count += 1
                self.wall += time.perf_counter() - wall
                self.cpu += time.thread_time() - cpu

        URLLib3Session.send = timed  # type: ignore[method-assign, assignment]
