"""The HTTP server: keeps connections alive, reads bodies whole, and can lose a reply after the work is done."""

import contextlib
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from socketserver import TCPServer
from typing import IO, Any, cast

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import DechunkedInput

from aws_emulator.wire import ConnectionCut, Reply, Request

Answer = Callable[[Request, Callable[[], dict[str, Any]]], Reply]


class Server(ThreadingHTTPServer):
    """One thread per connection; `answer` gets every request."""

    daemon_threads = True
    request_queue_size = 128
    # What moto's request handler wants to know of its server.
    multithread, multiprocess, ssl_context, _server_version = True, False, None, "aws_emulator"

    def __init__(self, host: str, port: int, answer: Answer) -> None:
        self.answer = answer
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking the network for this machine's name, which may take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            traceback.print_exc()


class _Handler(MotoRequestHandler):
    """Reads a request, writes a reply. Of moto's handler it keeps the way a WSGI environment is made."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server  # type: ignore[assignment]

    def run_wsgi(self) -> None:
        """Answer one request; all HTTP methods end here."""
        body = self._read_body()
        if body is None:
            self.close_connection = True
            return
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            reply = self.server.answer(Request(self.command, path, query, headers, body), self.make_environ)
        except Exception:
            traceback.print_exc()
            reply = Reply(500, [("Content-Type", "text/plain")], traceback.format_exc().encode())
        if reply.lost:
            self._cut()
        elif reply.stream is not None:
            self._send_stream(reply, reply.stream)
        else:
            self._send(reply)

    def _read_body(self) -> bytes | None:
        """The whole body, or None when the client stopped half-way."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            try:
                return DechunkedInput(cast(IO[bytes], self.rfile)).read()
            except OSError:
                return None
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        return body if len(body) == length else None

    def _send(self, reply: Reply) -> None:
        lines = [f"HTTP/1.1 {reply.status} {self.responses.get(reply.status, ('',))[0]}"]
        given = {name.lower() for name, _ in reply.headers}
        lines += [f"{name}: {value}" for name, value in reply.headers if name.lower() != "connection"]
        if "content-length" not in given and reply.status not in (204, 304):
            lines.append(f"Content-Length: {len(reply.body)}")
        if self.close_connection:
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
        self.wfile.write(head if self.command == "HEAD" else head + reply.body)

    def _send_stream(self, reply: Reply, pieces: Iterator[bytes]) -> None:
        """Send each piece when it comes. A cut leaves out the last chunk, so that nobody can take it for the end."""
        lines = [f"HTTP/1.1 {reply.status} {self.responses.get(reply.status, ('',))[0]}"]
        lines += [f"{name}: {value}" for name, value in reply.headers]
        lines.append("Transfer-Encoding: chunked")
        self.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1", "replace"))
        try:
            for piece in pieces:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        except ConnectionCut:
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")

    def _cut(self) -> None:
        """Reset the connection: an orderly close could be taken for a short but good answer."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            self.rfile.close()
            self.connection.close()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing of single requests; the control API counts them."""
