"""Clients: one per process, service and region, with pinned timeouts and retries.

A session costs about 100 ms, a client from a kept session 2-4 ms (measured), so both are kept. A forked child makes
its own clients, because sockets must not be shared with the parent; a session has none and is inherited.
"""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.config import Config

from aws.boto import metric_wire
from aws.boto.roles import RoleCredentials, renew_when_refused
from aws.roles import Role

CONNECT_TIMEOUT_SECONDS = 3
# A call to an AWS that hangs must end, and be told, well before the task that makes it is killed (5/6 of a lease; a
# pass makes up to two such calls, one look and one change). What the loop tries again by itself boto therefore does
# not; files and metrics have people or long runs waiting for them, and get a second try.
MAX_ATTEMPTS, MAX_ATTEMPTS_OF = 1, {"s3": 2, "cloudwatch": 2}


@dataclass(frozen=True, slots=True)
class AwsAccess:
    """Where and how to reach AWS. `endpoint_url` is set for a local AWS only."""

    region: str
    read_timeout_seconds: float
    endpoint_url: str | None


class Clients:
    """Makes and keeps boto3 clients for one `AwsAccess`; safe to share between threads and across a fork."""

    def __init__(self, access: AwsAccess) -> None:
        self.access = access
        self._lock = threading.Lock()
        self._made: dict[tuple[str, str, Role | None], Any] = {}
        self._sessions: dict[tuple[bool, Role | None], boto3.Session] = {}
        self._credentials: dict[Role, RoleCredentials] = {}
        os.register_at_fork(after_in_child=self._forget_parent)

    def client(
        self, service: str, region: str | None = None, *, role: Role | None = None, epoch_timestamps: bool = False
    ) -> Any:
        """The client of a service in a region (default: the home region) of our account, or of the role's.

        With `epoch_timestamps` answers carry instants as whole epoch seconds.
        """
        region = region or self.access.region
        key = (service, region, role)
        with self._lock:
            if key not in self._made:
                self._made[key] = self._make(service, region, self._session(epoch_timestamps, role))
                if role is not None:
                    renew_when_refused(self._made[key], self._credentials[role])
            return self._made[key]

    def client_with(self, service: str, granted: Mapping[str, Any]) -> Any:
        """A client with given credentials, which is not kept: for a proof, not for work."""
        session = boto3.Session(
            region_name=self.access.region,
            aws_access_key_id=granted["AccessKeyId"],
            aws_secret_access_key=granted["SecretAccessKey"],
            aws_session_token=granted["SessionToken"],
        )
        return self._make(service, self.access.region, session)

    def _make(self, service: str, region: str, session: Any) -> Any:
        # session is Any: the stubs overload `client` on literal service names, and ours is a variable.
        client = session.client(
            service, region_name=region, endpoint_url=self.access.endpoint_url, config=self._config(service)
        )
        if service == "cloudwatch":
            metric_wire.shorten(client)
        return client

    def _session(self, epoch_timestamps: bool, role: Role | None) -> boto3.Session:
        key = (epoch_timestamps, role)
        if key not in self._sessions:
            session = boto3.Session(region_name=self.access.region)
            if role is not None:
                if role not in self._credentials:
                    self._credentials[role] = RoleCredentials(role, lambda: self.client("sts"))
                core: Any = session._session
                core._credentials = self._credentials[role]
            if epoch_timestamps:
                # botocore's own parser is 88 % of the cost of reading 100,000 points (measured): this is 8 times
                # faster, and a bucket's start is a whole second anyway.
                factory = session._session.get_component("response_parser_factory")
                factory.set_parser_defaults(timestamp_parser=to_epoch)
            self._sessions[key] = session
        return self._sessions[key]

    def _config(self, service: str) -> Config:
        return Config(
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=self.access.read_timeout_seconds,
            # Pinned, because boto3's default changes with the environment (AWS_NEW_RETRIES_2026).
            retries={"mode": "standard", "total_max_attempts": MAX_ATTEMPTS_OF.get(service, MAX_ATTEMPTS)},
            max_pool_connections=32,
            # The queries of GetMetricData do not pass through the service model (aws.boto.metric_wire), so it would
            # miss them.
            parameter_validation=service != "cloudwatch",
            # Presigned addresses would otherwise get the old signature, which signs neither length nor checksum.
            signature_version="s3v4" if service == "s3" else None,
            s3={"addressing_style": "path"} if service == "s3" and self.access.endpoint_url else None,
        )

    def _forget_parent(self) -> None:
        self._lock = threading.Lock()
        self._made = {}
        # A lock of theirs may have been held by another thread of the parent.
        self._credentials = {}
        self._sessions = {key: session for key, session in self._sessions.items() if key[1] is None}


def to_epoch(value: object) -> int:
    """Epoch seconds of an AWS timestamp: a number, digits, ISO 8601 text or a datetime."""
    if isinstance(value, int | float):
        return int(value)
    if isinstance(value, datetime):
        return int(value.timestamp())
    text = str(value)
    try:
        return int(float(text))
    except ValueError:
        parsed = datetime.fromisoformat(text)
        return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp())
