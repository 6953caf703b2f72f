"""The runtime config: what one tenant's data plane may route to. Builds, checks and signs; it neither reads nor writes.

The schema is the data plane's own file, so that writer and reader cannot drift apart.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from provisioning.specs import canonical_json, digest

SCHEMA = "runtime-config/2"
OLD_SCHEMA = "runtime-config/1"
SCHEMA_FILE = Path(__file__).resolve().parent.parent / "dataplane" / "runtime_config.schema.json"
METRICS_NAMESPACE = "ControlPlane/DataPlane"
HOSTED, API = "hosted", "api"
DIALECTS = {HOSTED: "openai_completions", API: "bedrock_converse"}
BASE_ROUTE = "base"
BASE_VERSION = "base"
# The longest answer that a data plane asks a model for, whatever the tier's windows allow. Published
# traces of code completion hold answers of up to 1,899 tokens.
MAX_OUTPUT_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Allowance:
    """Tokens, in and out together, that a tenant may use of a line in a window before the next line answers."""

    window: str
    amount: int


@dataclass(frozen=True, slots=True)
class Target:
    """One line that can answer on a route. The bare base model has no version number.

    A hosted one names its `endpoint` and `component`; an api one its inference `profile` (our name for it) and `model`
    (its ARN). Role and external id are set when the account is another's. `weight` is the per cent of requests that try
    it, None for all; the others go on to the next target. `is_tripped` keeps its circuit breaker open; a higher
    `resets` closes it in every data plane.
    """

    line: str
    kind: str
    account: str
    region: str
    endpoint: str = ""
    component: str = ""
    profile: str = ""
    model: str = ""
    role_arn: str = ""
    external_id: str = ""
    adapter_version: str = BASE_VERSION
    version_number: int | None = None
    weight: int | None = None
    allowance: Allowance | None = None
    is_tripped: bool = False
    resets: int = 0

    @property
    def names(self) -> set[str]:
        """The AWS objects of ours that it needs, by our names."""
        return {self.endpoint, self.component} if self.kind == HOSTED else {self.profile}

    def as_document(self) -> dict[str, Any]:
        """As it stands in the document; what is not set is left out."""
        places = ("endpoint", "component") if self.kind == HOSTED else ("profile", "model")
        allowance = {"window": self.allowance.window, "amount": self.allowance.amount} if self.allowance else None
        return {
            "line": self.line,
            "kind": self.kind,
            "account": self.account,
            "region": self.region,
            **{place: getattr(self, place) for place in places},
            "dialect": DIALECTS[self.kind],
            "adapter_version": self.adapter_version,
            "version_number": self.version_number,
            **({"role_arn": self.role_arn, "external_id": self.external_id} if self.role_arn else {}),
            **({"weight": self.weight} if self.weight is not None else {}),
            **({"allowance": allowance} if allowance else {}),
            **({"is_tripped": True} if self.is_tripped else {}),
            **({"resets": self.resets} if self.resets else {}),
        }


@dataclass(frozen=True, slots=True)
class Route:
    """Where one name answers: the targets in the order in which they are tried. Without an adapter it is the base."""

    targets: tuple[Target, ...]
    adapter: str | None = None

    def as_document(self) -> dict[str, Any]:
        """As it stands in the document."""
        return {"adapter": self.adapter, "targets": [target.as_document() for target in self.targets]}


@dataclass(frozen=True, slots=True)
class Ladder:
    """What data planes do where a line does not answer: see `provisioning.models.RoutingPolicy`."""

    breaker_failures: int = 5
    breaker_open_seconds: int = 30
    queue_seconds: int = 0

    def as_document(self) -> dict[str, Any]:
        """As it stands in the document."""
        return {
            "breaker": {"failures": self.breaker_failures, "open_seconds": self.breaker_open_seconds},
            "queue_seconds": self.queue_seconds,
        }


@dataclass(frozen=True, slots=True)
class Windows:
    """A tier's token limits as (meter, window, amount, mode), and the zone whose midnights bound day and month."""

    timezone: str
    limits: tuple[tuple[str, str, int, str], ...] = ()

    def as_document(self) -> dict[str, Any]:
        """As it stands among the limits; lines' allowances go by the zone even where there are no windows."""
        keys = ("meter", "window", "amount", "mode")
        windows = [dict(zip(keys, limit, strict=True)) for limit in self.limits]
        return {"timezone": self.timezone, **({"windows": windows} if windows else {})}


@dataclass(frozen=True, slots=True)
class Signed:
    """A document as it is stored: canonical bytes, their hex sha256 and the tenant key's hex signature."""

    document: bytes
    sha256: str
    signature: str


def content(
    *,
    tenant: str,
    status: str,
    region: str,
    routes: Mapping[str, Route],
    windows: Windows | None = None,
    ladder: Ladder | None = None,
) -> dict[str, Any]:
    """What a config says, without its version and instant: two configs that say the same are not published twice."""
    return {
        "schema": SCHEMA,
        "tenant": tenant,
        "status": status,
        "region": region,
        "metrics_namespace": METRICS_NAMESPACE,
        "routes": {name: route.as_document() for name, route in routes.items()},
        "ladder": (ladder or Ladder()).as_document(),
        "limits": {"max_output_tokens": MAX_OUTPUT_TOKENS, **(windows.as_document() if windows else {})},
    }


def document(said: Mapping[str, Any], *, version: int, published_at: datetime) -> dict[str, Any]:
    """The whole document. Raises jsonschema.ValidationError when it breaks the data plane's schema: that is a bug."""
    stamp = published_at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    whole = {**said, "version": version, "published_at": stamp}
    _validator().validate(whole)
    return whole


def says(whole: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a document: `document` undone."""
    return {key: value for key, value in whole.items() if key not in ("version", "published_at")}


def targets_of(whole: Mapping[str, Any]) -> Iterator[tuple[str, str | None, Target]]:
    """Route name, adapter and target of everything that a document routes to, in order; of either schema.

    A document of the old schema has one hosted target per route and names no account.
    """
    for name, route in whole["routes"].items():
        told = route["targets"] if "targets" in route else [{"account": "", "region": whole["region"], **route}]
        for each in told:
            yield name, route["adapter"], _target(each)


def routes_of(whole: Mapping[str, Any]) -> dict[str, Route]:
    """The routes of a document, of either schema."""
    found: dict[str, Route] = {}
    for name, adapter, target in targets_of(whole):
        before = found[name].targets if name in found else ()
        found[name] = Route((*before, target), adapter)
    return found


def _target(told: Mapping[str, Any]) -> Target:
    allowance = told.get("allowance")
    return Target(
        line=told["line"],
        kind=told["kind"],
        account=told["account"],
        region=told["region"],
        endpoint=told.get("endpoint", ""),
        component=told.get("component", ""),
        profile=told.get("profile", ""),
        model=told.get("model", ""),
        role_arn=told.get("role_arn", ""),
        external_id=told.get("external_id", ""),
        adapter_version=told["adapter_version"],
        version_number=told["version_number"],
        weight=told.get("weight"),
        allowance=Allowance(allowance["window"], allowance["amount"]) if allowance else None,
        is_tripped=told.get("is_tripped", False),
        resets=told.get("resets", 0),
    )


def routed_names(said: Mapping[str, Any]) -> list[str]:
    """Our names of the AWS objects that a config needs, sorted."""
    return sorted({name for _, _, target in targets_of(said) for name in target.names})


def routes_digest(routes: Mapping[str, Route]) -> str:
    """Hex sha256 of where routes lead, whatever people told their breakers."""
    plain = {
        name: [replace(target, is_tripped=False, resets=0).as_document() for target in route.targets]
        for name, route in routes.items()
    }
    return digest(plain)


def sign(whole: Mapping[str, Any], *, signing_key: str) -> Signed:
    """Canonical bytes and the signature by the tenant's own key, which is all that its data plane is given."""
    data = canonical_json(whole)
    tenant_key = hmac.new(signing_key.encode(), str(whole["tenant"]).encode(), hashlib.sha256).digest()
    return Signed(
        document=data,
        sha256=hashlib.sha256(data).hexdigest(),
        signature=hmac.new(tenant_key, data, hashlib.sha256).hexdigest(),
    )


def difference(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What changed between two documents, one entry per changed leaf: path, before, after (None for absent)."""
    old, new = _leaves(says(before) if before else {}), _leaves(says(after))
    return [
        {"path": path, "before": old.get(path), "after": new.get(path)}
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    ]


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    if isinstance(value, list) and value and all(isinstance(part, Mapping) for part in value):
        value = dict(enumerate(value))
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            leaves.update(_leaves(part, f"{path}/{key}"))
        return leaves
    return {path: value} if path else {}


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
