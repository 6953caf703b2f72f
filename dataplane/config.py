"""The runtime config as the data plane sees it: found in DynamoDB, checked, cached, and kept when the store is away.

The control plane writes an immutable item per version and flips `current` to it. The kit trusts neither the table nor
its writers: a document counts only when it is signed with the tenant's key, names this tenant, and is not older than
the one in use. When the store does not answer, the last good document goes on serving. Requests do not wait for the
store: after the first read a thread of its own asks.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dataplane.budgets import HARD, NO_BUDGETS, Budgets, Limit, budgets_of
from dataplane.errors import ConfigRefused, ConfigUnavailable, DataPlaneError, TenantUnknown

SCHEMA, OLD_SCHEMA = "runtime-config/2", "runtime-config/1"
BASE_VERSION = "base"
STATUSES = ("active", "suspended", "withdrawn")
HOSTED, API = "hosted", "api"
TARGET_TEXTS = ("adapter_version", "line", "kind", "region", "dialect")
# Of a target in another account than the data plane's own: the role that is assumed for it.
ROLE_TEXTS = ("account", "role_arn", "external_id")
PLACES = {HOSTED: ("endpoint", "component"), API: ("model",)}
DEFAULT_LADDER: Mapping[str, Any] = {"breaker": {"failures": 5, "open_seconds": 30}, "queue_seconds": 0}


@dataclass(frozen=True, slots=True)
class Target:
    """One line that can answer on a route, and what its answers are counted as.

    A hosted one has an `endpoint` and `component` of SageMaker, an api one a `model` of Bedrock (an inference profile's
    ARN). One in another account names the role that is assumed for it. `weight` is the per cent of requests that try
    it; `is_tripped` and `resets` are orders to its breaker.
    """

    line: str
    kind: str
    region: str
    dialect: str
    adapter_version: str
    version_number: int | None
    endpoint: str = ""
    component: str = ""
    model: str = ""
    account: str = ""
    role_arn: str = ""
    external_id: str = ""
    weight: int = 100
    allowance: Limit | None = None
    is_tripped: bool = False
    resets: int = 0

    @property
    def place(self) -> str:
        """The object of AWS that answers, for messages."""
        return f"Component {self.component}" if self.kind == HOSTED else f"Model {self.model}"


@dataclass(frozen=True, slots=True)
class Route:
    """Where one name answers: its targets in the order in which they are tried."""

    name: str
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Ladder:
    """When a target's breaker opens and for how long, and how long a request waits where no target answers."""

    breaker_failures: int
    breaker_open_seconds: float
    queue_seconds: float


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """One published version of a tenant's routing; immutable."""

    tenant: str
    version: int
    status: str
    region: str
    metrics_namespace: str
    routes: Mapping[str, Route]
    max_output_tokens: int
    ladder: Ladder
    budgets: Budgets = NO_BUDGETS


def tenant_key(signing_key: str, tenant: str) -> bytes:
    """Derive the key that signs one tenant's documents; a data plane is given this, never the signing key itself."""
    return hmac.new(signing_key.encode(), tenant.encode(), hashlib.sha256).digest()


def parse(document: bytes, signature: str, *, tenant: str, key: bytes) -> RuntimeConfig:
    """Turn signed bytes into a config. Raises ConfigRefused when they are forged, foreign or malformed."""
    expected = hmac.new(key, document, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise ConfigRefused("The signature does not match the document: it was not written by this control plane.")
    try:
        found = json.loads(document)
    except ValueError as error:
        raise ConfigRefused(f"The document is not JSON: {error}.") from None
    try:
        return _structure(found, tenant)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigRefused(f"The document is malformed: {type(error).__name__} {error}.") from None


def _structure(found: Any, tenant: str) -> RuntimeConfig:
    """Check what the kit relies on; the writer checked the whole schema. Other shapes raise what Python raises."""
    if found["schema"] not in (SCHEMA, OLD_SCHEMA):
        raise ConfigRefused(f"The document has schema {found['schema']!r}; this kit reads {SCHEMA!r}.")
    if found["tenant"] != tenant:
        raise ConfigRefused(f"The document belongs to {found['tenant']!r}, not to {tenant!r}.")
    if found["status"] not in STATUSES:
        raise ConfigRefused(f"The document has the unknown status {found['status']!r}.")
    return RuntimeConfig(
        tenant=tenant,
        version=_integer(found, "version"),
        status=found["status"],
        region=_text(found, "region"),
        metrics_namespace=_text(found, "metrics_namespace"),
        routes={name: _route(name, route, found) for name, route in found["routes"].items()},
        max_output_tokens=_integer(found["limits"], "max_output_tokens"),
        ladder=_ladder(found.get("ladder", DEFAULT_LADDER)),
        budgets=budgets_of(found["limits"]),
    )


def _route(name: str, found: Mapping[str, Any], document: Mapping[str, Any]) -> Route:
    # A route of the old schema is its only target.
    told = found["targets"] if document["schema"] == SCHEMA else [{"region": document["region"], **found}]
    if not told:
        raise ValueError(f"route {name!r} has no target")
    return Route(name=name, targets=tuple(_target(name, target) for target in told))


def _target(name: str, found: Mapping[str, Any]) -> Target:
    texts = {key: _text(found, key) for key in TARGET_TEXTS}
    if texts["kind"] not in PLACES:
        raise ConfigRefused(f"Route {name!r} has a target of kind {texts['kind']!r}, which this kit does not know.")
    texts |= {key: _text(found, key) for key in PLACES[texts["kind"]]}
    texts |= {key: _text(found, key) for key in ROLE_TEXTS if "role_arn" in found}
    number = None if found["version_number"] is None else _integer(found, "version_number")
    return Target(
        **texts,
        version_number=number,
        weight=int(found.get("weight", 100)),
        allowance=_allowance(texts["line"], found["allowance"]) if "allowance" in found else None,
        is_tripped=found.get("is_tripped", False) is True,
        resets=int(found.get("resets", 0)),
    )


def _allowance(line: str, found: Mapping[str, Any]) -> Limit:
    return Limit("total_tokens", _text(found, "window"), _integer(found, "amount"), HARD, line)


def _ladder(found: Mapping[str, Any]) -> Ladder:
    breaker = found["breaker"]
    return Ladder(_integer(breaker, "failures"), _integer(breaker, "open_seconds"), float(found["queue_seconds"]))


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found[key]
    if not isinstance(value, str) or not value:
        raise TypeError(f"{key} must be a text")
    return value


def _integer(found: Mapping[str, Any], key: str) -> int:
    value = found[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise TypeError(f"{key} must be a positive whole number")
    return value


# More than an attempt at a store that hangs takes (two tries of 5 s), and little enough for a thawed process to serve
# no config of yesterday.
FROZEN_SECONDS = 20.0


class ConfigReader:
    """The config in force for one tenant; safe to share between threads.

    `ttl_seconds` is how long a read document is used without asking again: with the time of one read, the longest time
    that a release, a roll back or a suspension takes to reach this process. With 0 every use asks and waits. Else the
    first use waits, and from then on a thread asks. A use waits again only when the thread is overdue by
    `FROZEN_SECONDS`, which happens to a process that was frozen (Lambda between two invocations), not to one whose
    store is away.
    `last_error` tells why the last refresh was not taken over, if it was not.
    """

    def __init__(
        self,
        *,
        client: Any,
        table: str,
        tenant: str,
        key: bytes,
        ttl_seconds: float = 2.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._table = table
        self._tenant = tenant
        self._key = key
        self._ttl_seconds = ttl_seconds
        self._monotonic = monotonic
        self._patience_seconds = ttl_seconds + FROZEN_SECONDS if ttl_seconds > 0 else 0.0
        self._lock = threading.Lock()
        self._config: RuntimeConfig | None = None
        self._wait_from = float("-inf")
        self._thread: threading.Thread | None = None
        self._process = os.getpid()
        self._stop = threading.Event()
        weakref.finalize(self, self._stop.set)
        self.last_error: DataPlaneError | None = None

    def current(self) -> RuntimeConfig:
        """Return the config in force.

        Raises TenantUnknown when the store answers that there is none. Raises ConfigUnavailable or ConfigRefused when
        the store is away or holds something untrustworthy, and nothing good was read before.
        """
        if self._process != os.getpid():
            self._begin_anew_in_child()
        config = self._config
        if config is None or self._monotonic() >= self._wait_from:
            with self._lock:
                if self._config is None or self._monotonic() >= self._wait_from:
                    self._refresh()
                config = self._config
        if self._patience_seconds and (self._thread is None or not self._thread.is_alive()):
            self._start_thread()
        if config is None:
            raise self.last_error or ConfigUnavailable("The runtime config was not read yet.")
        return config

    def expire(self) -> None:
        """Ask the store again at the next use, and wait for it."""
        with self._lock:  # an answer under way may be older than the wish
            self._wait_from = float("-inf")

    def refresh(self) -> None:
        """Ask the store now, whoever else uses the config meanwhile."""
        with self._lock:
            self._refresh()

    def close(self) -> None:
        """End the thread. What was read stays in force until a use finds it too old, and asks by itself."""
        self._stop.set()

    def _refresh(self) -> None:
        try:
            self._config = self._read()
            self.last_error = None
        except TenantUnknown as erased:
            self._config = None
            self.last_error = erased
        except DataPlaneError as kept:
            self.last_error = kept
        self._wait_from = self._monotonic() + self._patience_seconds

    def _begin_anew_in_child(self) -> None:
        """After a fork: the thread stayed with the parent, and the lock may have been in its hands."""
        self._process, self._lock, self._thread = os.getpid(), threading.Lock(), None

    def _start_thread(self) -> None:
        with self._lock:
            if self._stop.is_set() or (self._thread is not None and self._thread.is_alive()):
                return
            arguments = (weakref.ref(self), self._stop, self._ttl_seconds)
            self._thread = threading.Thread(target=_keep_asking, args=arguments, daemon=True, name="config")
            self._thread.start()

    def _read(self) -> RuntimeConfig:
        pointer = self._item("current")
        if pointer is None:
            raise TenantUnknown(f"No runtime config is published for {self._tenant}.")
        try:
            version = int(pointer["version"]["N"])
        except (KeyError, TypeError, ValueError):
            raise ConfigRefused("The item `current` names no version.") from None
        if self._config is not None and version == self._config.version:
            return self._config
        if self._config is not None and version < self._config.version:
            raise ConfigRefused(f"Version {version} is older than version {self._config.version}, which is in use.")
        item = self._item(f"v#{version:08d}")
        if item is None:
            raise ConfigUnavailable(f"Version {version} is current and cannot be found.")
        try:
            document, signature = item["document"]["S"].encode(), item["signature"]["S"]
        except (KeyError, TypeError, AttributeError):
            raise ConfigRefused(f"The item of version {version} lacks its document or signature.") from None
        config = parse(document, signature, tenant=self._tenant, key=self._key)
        if config.version != version:
            raise ConfigRefused(f"The item of version {version} holds version {config.version}.")
        return config

    def _item(self, sort_key: str) -> dict[str, Any] | None:
        key = {"tenant": {"S": self._tenant}, "item": {"S": sort_key}}
        try:
            reply = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        except (ClientError, BotoCoreError) as error:
            raise ConfigUnavailable(f"The config table {self._table} does not answer: {error}") from None
        item: dict[str, Any] | None = reply.get("Item")
        return item


def _keep_asking(reader: weakref.ref[ConfigReader], stop: threading.Event, every_seconds: float) -> None:
    """Refresh until told to stop, or until nobody else holds the reader."""
    while not stop.wait(every_seconds):
        held = reader()
        if held is None:
            return
        held.refresh()
        del held
