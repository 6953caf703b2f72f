"""What a resource is made from, and the name that follows from it. Pure.

A spec has an identity (what it is for, its base, its artifact: part of the name, fixed for life) and settings that
AWS changes in place (copies, which config, a package's approval). No SageMaker create call but a package's takes a
client token, so the derived name is the only thing that keeps a repeated create from making a second object.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aws.gateway import (
    AdapterComponentSpec,
    BaseComponentSpec,
    EndpointConfigSpec,
    EndpointSpec,
    HostedSpec,
    HostingKind,
    InferenceProfileSpec,
    ModelSpec,
    PackageGroupSpec,
    PackageSpec,
    Sighting,
)

MODEL = "model"
ENDPOINT_CONFIG = "endpoint_config"
ENDPOINT = "endpoint"
BASE_COMPONENT = "base_component"
ADAPTER_COMPONENT = "adapter_component"
PACKAGE_GROUP = "model_package_group"
MODEL_PACKAGE = "model_package"
INFERENCE_PROFILE = "inference_profile"
REGISTRY_KINDS = (PACKAGE_GROUP, MODEL_PACKAGE)
"""What mirrors the adapter registry; nothing is served from it, and nothing waits for it."""
KINDS = (MODEL, ENDPOINT_CONFIG, ENDPOINT, BASE_COMPONENT, ADAPTER_COMPONENT, INFERENCE_PROFILE, *REGISTRY_KINDS)

APPROVED, NOT_APPROVED, UNDECIDED = "Approved", "Rejected", "PendingManualApproval"
UNDECIDED_NOTE = "Not decided in the control plane, where it has to be decided."
"""AWS takes no approval back to pending, so one that was given outside is answered with a rejection that says this."""

NAME_LENGTH = 63
POOL = "pool"

# How a kind is written inside a name; short, because a name holds 63 characters.
NAME_WORDS: Mapping[str, str] = {
    MODEL: "model",
    ENDPOINT_CONFIG: "config",
    ENDPOINT: "endpoint",
    BASE_COMPONENT: "base",
    ADAPTER_COMPONENT: "adapter",
    PACKAGE_GROUP: "packages",
    MODEL_PACKAGE: "package",
    INFERENCE_PROFILE: "profile",
}
HOSTING_KINDS: Mapping[str, HostingKind] = {
    MODEL: "model",
    ENDPOINT_CONFIG: "endpoint_config",
    ENDPOINT: "endpoint",
    BASE_COMPONENT: "component",
    ADAPTER_COMPONENT: "component",
    PACKAGE_GROUP: "package_group",
    MODEL_PACKAGE: "package",
    INFERENCE_PROFILE: "inference_profile",
}


@dataclass(frozen=True, slots=True)
class Ref:
    """Stands in a wish for the name of the resource in another slot."""

    slot: str


@dataclass(frozen=True, slots=True)
class Wish:
    """One resource that should exist, in the account named or in our own. `slot` is its place in the plan, stable over
    incarnations.

    `identity` and `settings` may hold `Ref`s, which are replaced by names once the resources they point to have one.
    """

    slot: str
    kind: str
    slug: str
    region: str
    line_id: int | None
    identity: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    adapter_version_id: int | None = None
    account: str = ""

    @property
    def needs(self) -> frozenset[str]:
        """The slots that must be ready before this one can be made."""
        values = [*self.identity.values(), *self.settings.values()]
        return frozenset(value.slot for value in values if isinstance(value, Ref))


def canonical_json(value: object) -> bytes:
    """The one way a value is written before it is hashed or signed: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(value: Mapping[str, Any]) -> str:
    """Hex sha256 of the canonical form."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def resolve(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """`values` with each `Ref` replaced by the name in that slot. Raises KeyError when a slot has no name yet."""
    return {key: names[value.slot] if isinstance(value, Ref) else value for key, value in values.items()}


def derive_name(*, install: str, kind: str, slug: str, identity_digest: str, incarnation: int) -> str:
    """`{install}-{kind}-{slug}-{digest8}-{incarnation}`, at most 63 characters: the slug gives way, never the rest."""
    head, tail = f"{install}-{NAME_WORDS[kind]}-", f"-{identity_digest[:8]}-{incarnation}"
    clean = re.sub(r"[^a-z0-9]+", "-", slug.lower()).strip("-")
    return f"{head}{clean[: NAME_LENGTH - len(head) - len(tail)].strip('-') or 'x'}{tail}"


def hosted_spec(kind: str, name: str, identity: Mapping[str, Any], settings: Mapping[str, Any]) -> HostedSpec:
    """What to ask of AWS for a resource whose references are resolved."""
    match kind:
        case "model":
            return ModelSpec(name=name, **identity)
        case "endpoint_config":
            return EndpointConfigSpec(name=name, **identity)
        case "endpoint":
            return EndpointSpec(name=name, config_name=settings["config_name"])
        case "base_component":
            return BaseComponentSpec(name=name, copies=settings["copies"], **identity)
        case "adapter_component":
            return AdapterComponentSpec(
                name=name,
                endpoint_name=identity["endpoint_name"],
                base_component_name=identity["base_component_name"],
                artifact_url=identity["artifact_url"],
            )
        case "model_package_group":
            return PackageGroupSpec(name=name, description=identity["description"])
        case "model_package":
            return PackageSpec(
                name=name,
                group_name=identity["group_name"],
                image=identity["image"],
                artifact_url=identity["artifact_url"],
                approval=settings["approval"],
                metadata=identity["metadata"],
            )
        case "inference_profile":
            return InferenceProfileSpec(name=name, **identity)
    raise ValueError(f"no such kind: {kind}")


def seen_settings(kind: str, seen: Sighting) -> dict[str, Any]:
    """The mutable settings that a detailed sighting shows, in the words of the wish."""
    if kind == ENDPOINT:
        return {"config_name": seen.config_name}
    if kind == BASE_COMPONENT:
        return {"copies": seen.copies}
    if kind == MODEL_PACKAGE:
        return {"approval": seen_approval(seen)}
    return {}


def aws_settings(kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that AWS holds; a package's also say why it is approved and whose decisions count."""
    return {"approval": settings.get("approval")} if kind == MODEL_PACKAGE else dict(settings)


def seen_approval(seen: Sighting) -> str:
    """A package's approval; our own rejection of what nobody here has decided counts as undecided."""
    return UNDECIDED if seen.approval_note == UNDECIDED_NOTE and seen.approval == NOT_APPROVED else seen.approval


def approval_to_send(settings: Mapping[str, Any]) -> tuple[str, str]:
    """The approval, in AWS's word, that brings a package to its wish, and the note that goes with it."""
    if settings["approval"] == UNDECIDED:
        return NOT_APPROVED, UNDECIDED_NOTE
    return settings["approval"], settings["note"]


def handle(kind: str, name: str, *, arn: str, identity: Mapping[str, Any]) -> str:
    """What AWS knows a resource by: its name; for a package, which has none there, its ARN or `group/name`."""
    return arn or f"{identity.get('group_name', '')}/{name}" if kind == MODEL_PACKAGE else name
