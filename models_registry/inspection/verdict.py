"""The one question that the gate answers: may this upload be served on this base by this engine?"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from models_registry.inspection.adapter_config import MAX_CONFIG_BYTES, AdapterConfig, check_config, parse_config
from models_registry.inspection.architecture import UnknownArchitecture, read_architecture
from models_registry.inspection.archive import Member
from models_registry.inspection.engines import EngineRules
from models_registry.inspection.findings import Finding, Findings, Refusal
from models_registry.inspection.layout import Layout
from models_registry.inspection.safetensors import Header, read_header
from models_registry.inspection.sources import CONFIG_NAME, WEIGHTS_NAME, Source
from models_registry.inspection.tensors import AdapterTensors, check_tensors
from models_registry.inspection.values import scan_values

_UNKNOWN_ARCHITECTURE = (
    "Choose a base model of a known type. To have this one admitted, give the operators its config.json, the names and "
    "shapes of its linear layers, and proof that the engine applies LoRA to each of them."
)


@dataclass(frozen=True)
class Accepted:
    """What the repack needs of an accepted adapter: the checked configuration, header, and tensors to keep."""

    config: AdapterConfig
    header: Header
    tensors: AdapterTensors


@dataclass(frozen=True)
class Verdict:
    """The gate's answer. `facts` tells what was read, as far as the reading went; `content` is there if accepted."""

    accepted: bool
    findings: tuple[Finding, ...]
    facts: dict[str, Any]
    content: Accepted | None

    def as_dict(self) -> dict[str, Any]:
        """The verdict as JSON-ready values: accepted, findings, facts."""
        return {
            "accepted": self.accepted,
            "findings": [finding.as_dict() for finding in self.findings],
            "facts": self.facts,
        }


@dataclass
class _Front:
    """What a first look gives: the configuration, and the header of the weights with the size of their file."""

    config_bytes: bytes | None = None
    config: dict[str, Any] | None = None
    header: Header | None = None
    weights_size: int = 0


def inspect_adapter(
    source: Source,
    *,
    base: Mapping[str, Any],
    engine: EngineRules,
    max_rank: int | None = None,
    spool: BinaryIO | None = None,
) -> Verdict:
    """Judges an upload: first configuration and header, then, if nothing speaks against them, every value once.

    `base` is the base model's config.json; the operator's choice of it decides, not the name that the adapter claims.
    `max_rank` is the serving profile's limit (the engine's own when None). `spool` receives the bytes of the weights
    file during the second pass, for the repack. Memory stays below some 50 MB: the header (8 MiB) as Python values.
    Raises architecture.UnusableBase when `base` itself lacks a number, and OSError when the source cannot be read.
    """
    findings = Findings()
    front = _Front()
    facts: dict[str, Any] = {"engine": engine.engine}
    content: Accepted | None = None
    try:
        _look(source, front, findings)
        content = _judge_front(front, base, engine, min(max_rank or engine.max_rank, engine.max_rank), findings, facts)
        if not findings.refuses:
            facts["sha256"] = _read_through(source, front, spool, findings)
    except Refusal as refusal:
        findings.add(refusal.finding)
    accepted = not findings.refuses
    return Verdict(accepted, findings.told(), facts, content if accepted else None)


def _look(source: Source, front: _Front, findings: Findings) -> None:
    """Reads up to the point where configuration and header are known; names are judged by the pass that ends last."""
    names = Findings()
    layout = Layout(names)
    for member in source.members():
        role = layout.role(member.name)
        if role == "config":
            front.config_bytes = member.read_exactly(MAX_CONFIG_BYTES + 1)
            front.config = parse_config(front.config_bytes)
        elif role == "weights":
            front.weights_size = member.size
            front.header = read_header(member.read_exactly, member.size)
        if front.config is not None and front.header is not None:
            break
    if names.refuses:
        findings.merge(names)
    _require_files(front, findings)


def _require_files(front: _Front, findings: Findings) -> None:
    if front.config is None:
        findings.error("missing_file", f"{CONFIG_NAME} is missing.", "Upload the two files that PEFT saved.")
    if front.header is None and "pickle_refused" not in findings:
        findings.error("missing_file", f"{WEIGHTS_NAME} is missing.", "Upload the two files that PEFT saved.")


def _judge_front(
    front: _Front,
    base: Mapping[str, Any],
    engine: EngineRules,
    max_rank: int,
    findings: Findings,
    facts: dict[str, Any],
) -> Accepted | None:
    """The header verdict: configuration rules, then tensor names and shapes against the base model."""
    if front.config is None:
        return None
    config = check_config(front.config, engine, max_rank, findings)
    facts |= {
        "rank": config.rank,
        "alpha": config.alpha,
        "use_rslora": config.use_rslora,
        "claimed_base_model": config.claimed_base,
    }
    if front.header is None:
        return None
    tensors = front.header.tensors
    facts |= {
        "dtype": "+".join(sorted({tensor.dtype for tensor in tensors})),
        "tensor_count": len(tensors),
        "size_bytes": front.weights_size,
    }
    try:
        architecture = read_architecture(base)
    except UnknownArchitecture as error:
        findings.error("unknown_architecture", str(error), _UNKNOWN_ARCHITECTURE)
        return None
    kept = check_tensors(tensors, config, architecture, engine, findings)
    facts |= {"target_modules": list(kept.target_modules), "base_family": architecture.family}
    return Accepted(config, front.header, kept)


def _read_through(source: Source, front: _Front, spool: BinaryIO | None, findings: Findings) -> str:
    """The second pass over the whole upload: every name, every value; gives the sha256 of the weights file."""
    layout = Layout(findings)
    digest = ""
    for member in source.members():
        role = layout.role(member.name)
        if role == "config" and member.read_exactly(MAX_CONFIG_BYTES + 1) != front.config_bytes:
            raise _changed()
        if role == "weights":
            digest = _read_weights(member, front, spool, findings)
    if not digest:
        raise _changed()
    return digest


def _read_weights(member: Member, front: _Front, spool: BinaryIO | None, findings: Findings) -> str:
    header = front.header
    if header is None or member.size != front.weights_size:
        raise _changed()
    digest = hashlib.sha256()

    def read(count: int) -> bytes:
        data = member.read_exactly(count)
        digest.update(data)
        if spool is not None:
            spool.write(data)
        return data

    if hashlib.sha256(read(header.size_bytes)).digest() != header.sha256:
        raise _changed()
    scan_values(read, header.tensors, findings)
    return digest.hexdigest()


def _changed() -> Refusal:
    return Refusal("changed_while_reading", "The upload changed between two reads of it.", "Upload it again.")
