"""From the adapter registry to wishes for its mirror in SageMaker's. It reads values and answers values.

A group per adapter and a package per version that could be released, in the region that serves the tenant. What a
package says never changes but for its approval.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from provisioning.specs import APPROVED, MODEL_PACKAGE, NOT_APPROVED, PACKAGE_GROUP, UNDECIDED, Ref, Wish

APPROVALS: Mapping[str, str] = {
    "not_required": APPROVED,
    "approved": APPROVED,
    "pending": UNDECIDED,
    "rejected": NOT_APPROVED,
}
NOT_ASKED_FOR = "The tenant's tier asks for no approval."
LONGEST_VALUE = 256
# What CustomerMetadataValue takes, in botocore's model: letters, separators, digits and these.
_NOT_IN_VALUES = re.compile(r"[^\w .:/=+\-@]")


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """A version that can be released. `approval` is our word, `facts` become the package's metadata."""

    ref: str
    number: int
    image: str
    artifact_url: str
    approval: str
    approval_note: str
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MirroredAdapter:
    """An adapter with those versions, oldest first, and whether decisions in SageMaker are taken over."""

    ref: str
    name: str
    follows_outside: bool
    versions: Sequence[VersionFacts]


def wishes_for_registry(tenant_ref: str, slug: str, region: str, adapters: Iterable[MirroredAdapter]) -> list[Wish]:
    """Each adapter's group before its packages; an adapter without a version has none."""
    wishes: list[Wish] = []
    for adapter in adapters:
        if adapter.versions:
            wishes += _of_adapter(tenant_ref, f"{slug}-{adapter.name}", region, adapter)
    return wishes


def _of_adapter(tenant_ref: str, slug: str, region: str, adapter: MirroredAdapter) -> list[Wish]:
    slot = f"{tenant_ref}/{region}/registry/{adapter.ref}"
    description = f"Adapter {adapter.ref} of tenant {tenant_ref}, mirrored: the control plane decides about approvals."
    group = Wish(
        slot=slot,
        kind=PACKAGE_GROUP,
        slug=slug,
        region=region,
        line_id=None,
        identity={"description": description, "region": region},
    )
    return [group, *(_package(slot, slug, region, adapter, version) for version in adapter.versions)]


def _package(slot: str, slug: str, region: str, adapter: MirroredAdapter, version: VersionFacts) -> Wish:
    note = NOT_ASKED_FOR if version.approval == "not_required" else " ".join(version.approval_note.split())
    return Wish(
        slot=f"{slot}/{version.ref}",
        kind=MODEL_PACKAGE,
        slug=f"{slug}-v{version.number}",
        region=region,
        line_id=None,
        identity={
            "group_name": Ref(slot),
            "image": version.image,
            "artifact_url": version.artifact_url,
            "adapter_version": version.ref,
            "metadata": metadata_of(version.facts),
        },
        settings={
            "approval": APPROVALS[version.approval],
            "note": note[:1024],
            "follows_outside": adapter.follows_outside,
        },
    )


def metadata_of(facts: Mapping[str, object]) -> dict[str, str]:
    """Facts as SageMaker keeps them: texts of up to 256 characters, what it does not take replaced by a hyphen."""
    texts = {key: _NOT_IN_VALUES.sub("-", str(value))[:LONGEST_VALUE] for key, value in facts.items()}
    return {key: text for key, text in texts.items() if text}
