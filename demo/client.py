"""A billing system's view of the product: REST with an API key, nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from local_stack.emulator import OPENER
from local_stack.paths import ROOT

Json = dict[str, Any]


class Refused(Exception):
    """The product answered with a problem; `problem` is its document."""

    def __init__(self, request: str, status: int, problem: Json) -> None:
        reason = problem.get("detail") or problem.get("title") or "no reason given"
        super().__init__(f"{request}: {status} {problem.get('code', '')}: {reason} {problem.get('hint', '')}".strip())
        self.status = status
        self.problem = problem


class Client:
    """Calls `/api/v1`. Every change carries an idempotency key, so a repeated one changes nothing."""

    def __init__(self, url: str, key: str) -> None:
        self._url = f"{url}/api/v1"
        self._key = key

    def get(self, path: str, **query: str) -> Json:
        """One document. Raises Refused."""
        text = f"?{urllib.parse.urlencode(query)}" if query else ""
        answer: Json = json.loads(self.send("GET", path + text))
        return answer

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, if_match: str = "") -> Json:
        """Change something, with `if_match` only if it still is that version; the answer. Raises Refused."""
        headers = {"Content-Type": "application/json"} | ({"If-Match": if_match} if if_match else {})
        answer: Json = json.loads(self.send("POST", path, json.dumps(body or {}).encode(), headers))
        return answer

    def upload(self, path: str, files: Mapping[str, bytes], fields: Mapping[str, str]) -> Json:
        """Send files as a browser's form would. Raises Refused."""
        boundary = uuid.uuid4().hex
        lines = []
        for name, value in fields.items():
            lines.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
        for name, content in files.items():
            head = f'Content-Disposition: form-data; name="files"; filename="{name}"'
            lines.append(f"--{boundary}\r\n{head}\r\nContent-Type: application/octet-stream\r\n\r\n".encode())
            lines.append(content + b"\r\n")
        body = b"".join(lines) + f"--{boundary}--\r\n".encode()
        answer: Json = json.loads(
            self.send("POST", path, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})
        )
        return answer

    def every(self, path: str, **query: str) -> Iterator[Json]:
        """All items of a list, page by page. Raises Refused."""
        while True:
            page = self.get(path, **query)
            yield from page["data"]
            if not page.get("next_cursor"):
                return
            query["cursor"] = page["next_cursor"]

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """One request, as given; the body of the answer. Raises Refused."""
        request = urllib.request.Request(self._url + path, data=body, method=method)
        request.add_header("Authorization", f"Bearer {self._key}")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        if method == "POST":
            request.add_header("Idempotency-Key", uuid.uuid4().hex)
        try:
            with OPENER.open(request, timeout=60) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as refusal:
            text = refusal.read()
            try:
                problem = json.loads(text)
            except ValueError:
                problem = {"detail": text.decode(errors="replace")[:300]}
            raise Refused(f"{method} {path}", refusal.code, problem) from None


def issue_key(env: Mapping[str, str], name: str) -> str:
    """An API key with every scope, issued as an operator would."""
    argv = [sys.executable, "manage.py", "issue_key", "--name", name, "--scope", "all", "--json"]
    issued = subprocess.run(argv, cwd=ROOT, env=dict(env), capture_output=True, text=True, check=True)
    return str(json.loads(issued.stdout)["key"])


def wait_for(what: str, look: Callable[[], Any], *, seconds: float = 60.0, every: float = 0.2) -> Any:
    """The first true answer of `look()`. Raises TimeoutError that names `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(every)
