"""The runtime config: what one tenant's data plane may route to. Builds, checks and signs; it neither reads nor writes.

The schema is the data plane's own file, so that writer and reader cannot drift apart.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from provisioning.specs import canonical_json

SCHEMA = "runtime-config/1"
SCHEMA_FILE = Path(__file__).resolve().parent.parent / "dataplane" / "runtime_config.schema.json"
METRICS_NAMESPACE = "ControlPlane/DataPlane"
DIALECT = "openai_completions"
BASE_ROUTE = "base"
BASE_VERSION = "base"
# The longest answer that a data plane asks a container for, whatever the tier's windows allow. Published
# traces of code completion hold answers of up to 1,899 tokens.
MAX_OUTPUT_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Route:
    """Where one name answers. The bare base model has neither adapter nor version number.

    `place` holds region, account, role and external id of what answers elsewhere than at the installation.
    """

    line: str
    endpoint: str
    component: str
    adapter: str | None = None
    adapter_version: str = BASE_VERSION
    version_number: int | None = None
    place: Mapping[str, str] = field(default_factory=dict)

    def as_document(self) -> dict[str, Any]:
        """As it stands in the document."""
        return {
            "adapter": self.adapter,
            "adapter_version": self.adapter_version,
            "version_number": self.version_number,
            "line": self.line,
            "kind": "hosted",
            "endpoint": self.endpoint,
            "component": self.component,
            "dialect": DIALECT,
            **self.place,
        }


@dataclass(frozen=True, slots=True)
class Windows:
    """A tier's token limits as (meter, window, amount, mode), and the zone whose midnights bound day and month."""

    timezone: str
    limits: tuple[tuple[str, str, int, str], ...] = ()

    def as_document(self) -> dict[str, Any]:
        """As it stands among the limits; nothing when there are none."""
        if not self.limits:
            return {}
        keys = ("meter", "window", "amount", "mode")
        windows = [dict(zip(keys, limit, strict=True)) for limit in self.limits]
        return {"timezone": self.timezone, "windows": windows}


@dataclass(frozen=True, slots=True)
class Signed:
    """A document as it is stored: canonical bytes, their hex sha256 and the tenant key's hex signature."""

    document: bytes
    sha256: str
    signature: str


def content(
    *, tenant: str, status: str, region: str, routes: Mapping[str, Route], windows: Windows | None = None
) -> dict[str, Any]:
    """What a config says, without its version and instant: two configs that say the same are not published twice."""
    return {
        "schema": SCHEMA,
        "tenant": tenant,
        "status": status,
        "region": region,
        "metrics_namespace": METRICS_NAMESPACE,
        "routes": {name: route.as_document() for name, route in routes.items()},
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


def routed_names(said: Mapping[str, Any]) -> list[str]:
    """The endpoints and components that a config names, sorted."""
    routes = said["routes"].values()
    return sorted({route[part] for route in routes for part in ("endpoint", "component")})


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
    if isinstance(value, Mapping) and value:
        leaves: dict[str, Any] = {}
        for key, part in value.items():
            leaves.update(_leaves(part, f"{path}/{key}"))
        return leaves
    return {path: value} if path else {}


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
