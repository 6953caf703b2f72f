"""A dynamodb client whose TransactWriteItems costs little: every request is counted by two of them.

What botocore does for any call of any service (endpoint rules, serialiser, user agent, a hundred hooks, parser) takes
most of the time that reserving and settling take without the network. This request is always the same, so it is made
and signed here (AWS Signature Version 4, whose key holds for a day), and sent by botocore's own HTTP session.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import socket
import time
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ClientError, HTTPClientError, NoCredentialsError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

OPERATION = "TransactWriteItems"
TARGET = f"DynamoDB_20120810.{OPERATION}"
ALGORITHM = "AWS4-HMAC-SHA256"
# A second one for a lost reply or a closed connection. The token makes both the same transaction.
ATTEMPTS = 2


class QuickTable:
    """A boto3 dynamodb client in everything but how it writes transactions; safe to share between threads.

    `credentials` are those of the client's session; botocore renews them by itself when they are of a role. Timeouts,
    proxies and the number of connections are those of the client's config; another bundle of certificates is
    taken from AWS_CA_BUNDLE or REQUESTS_CA_BUNDLE.
    """

    def __init__(self, client: Any, credentials: Any) -> None:
        if credentials is None:
            raise NoCredentialsError
        self._client = client
        meta = client.meta
        self._url = meta.endpoint_url.rstrip("/") + "/"
        self._host = urlsplit(self._url).netloc
        self._credentials = credentials
        self._region = meta.region_name
        self._day_key: tuple[str, str, bytes] = ("", "", b"")  # day, secret key, and the signing key of both
        # Head and body go as two packets, and the second must not wait until the first is acknowledged.
        options: Any = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
        verify: Any = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE") or True
        timeouts: Any = (meta.config.connect_timeout, meta.config.read_timeout)
        self._http = URLLib3Session(
            verify=verify,
            proxies=meta.config.proxies or get_environ_proxies(self._url),
            timeout=timeouts,
            max_pool_connections=meta.config.max_pool_connections,
            socket_options=options,
            client_cert=meta.config.client_cert,
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def transact_write_items(self, **arguments: Any) -> dict[str, Any]:
        """As the client's own. Raises ClientError with CancellationReasons, or BotoCoreError."""
        body = json.dumps({"ClientRequestToken": secrets.token_hex(16), **arguments}).encode()
        for left in reversed(range(ATTEMPTS)):
            try:
                reply = self._http.send(self._prepared(body))
            except HTTPClientError:
                if not left:
                    raise
                continue
            if reply.status_code == 200:
                return {}  # nothing that a caller asked for: no capacities, no metrics
            if reply.status_code < 500 or not left:
                break
        raise _error(reply.status_code, reply.content)

    def _prepared(self, body: bytes) -> AWSPreparedRequest:
        headers: Any = self._signed(body, time.gmtime())  # any mapping will do
        return AWSPreparedRequest("POST", self._url, headers, body, False)

    def _signed(self, body: bytes, at: time.struct_time) -> dict[str, str]:
        """The headers of a request at this instant, its signature among them."""
        known = self._credentials.get_frozen_credentials()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", at)
        headers = {"host": self._host, "x-amz-date": stamp}
        if known.token:
            headers["x-amz-security-token"] = known.token
        headers["x-amz-target"] = TARGET
        names = ";".join(headers)
        said = "".join(f"{name}:{value}\n" for name, value in headers.items())
        canonical = f"POST\n/\n\n{said}\n{names}\n{sha256(body).hexdigest()}"
        scope = f"{stamp[:8]}/{self._region}/dynamodb/aws4_request"
        to_sign = f"{ALGORITHM}\n{stamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(self._key(stamp[:8], known.secret_key), to_sign.encode(), "sha256").hex()
        credential = f"{known.access_key}/{scope}"
        headers["authorization"] = f"{ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
        headers["content-type"] = "application/x-amz-json-1.0"
        return headers

    def _key(self, day: str, secret_key: str) -> bytes:
        of_day, of_secret, key = self._day_key
        if (of_day, of_secret) != (day, secret_key):
            key = f"AWS4{secret_key}".encode()
            for part in (day, self._region, "dynamodb", "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._day_key = (day, secret_key, key)
        return key


def _error(status: int, content: bytes) -> ClientError:
    try:
        said = json.loads(content)
        code = str(said["__type"]).rpartition("#")[2]
    except (ValueError, KeyError, TypeError):
        said, code = {}, str(status)
    detail = said.get("Message") or said.get("message") or ""
    response: Any = {
        "Error": {"Code": code, "Message": detail},
        "ResponseMetadata": {"HTTPStatusCode": status},
        "CancellationReasons": said.get("CancellationReasons", []),
    }
    return ClientError(response, OPERATION)
