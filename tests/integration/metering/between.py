"""A relay on loopback between our code and the local AWS: it passes requests on and spoils answers of GetMetricData.

The local AWS answers whole or not at all; the real one also answers InternalError for single series, and connections
break between pages. Nothing of ours is replaced: boto3 talks HTTP to another port.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

# Takes the number of the answer (from 0) and its body; returns the body to send, or None to cut the connection.
Spoil = Callable[[int, dict[str, Any]], dict[str, Any] | None]


class Between:
    """The relay's script: `spoil` is asked about every GetMetricData answer."""

    def __init__(self) -> None:
        self.spoil: Spoil = lambda number, body: body
        self.answers = 0


@contextmanager
def standing_between(settings: Any) -> Iterator[Between]:
    """Route our AWS calls through a relay for as long as the context lasts."""
    script = Between()
    upstream = urlsplit(settings.ENV.aws_endpoint_url).netloc

    class Relay(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            link = http.client.HTTPConnection(upstream, timeout=30)
            link.request("POST", self.path, body, dict(self.headers))
            reply = link.getresponse()
            answer = reply.read()
            if "GetMetricData" in self.headers.get("X-Amz-Target", "") and reply.status == 200:
                spoiled = script.spoil(script.answers, json.loads(answer))
                script.answers += 1
                if spoiled is None:
                    self.close_connection = True
                    return
                answer = json.dumps(spoiled).encode()
            self.send_response(reply.status)
            for name, value in reply.getheaders():
                if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Relay)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    before = settings.ENV
    settings.ENV = before.model_copy(update={"aws_endpoint_url": f"http://127.0.0.1:{server.server_port}"})
    try:
        yield script
    finally:
        settings.ENV = before
        server.shutdown()
        server.server_close()
