"""What passes between a worker and the process that reads an upload for it: typed, small, and nothing secret."""

from __future__ import annotations

from typing import Any

import msgspec

from models_registry.inspection.findings import Finding

MAX_REPORT_BYTES = 4 * 1024 * 1024


class JobFile(msgspec.Struct, frozen=True):
    """One uploaded file: the name it was sent under, and its size in bytes."""

    name: str
    size: int


class Job(msgspec.Struct, frozen=True):
    """What to judge and by which rules; `max_bytes` bounds what it may unpack to."""

    files: tuple[JobFile, ...]
    base: dict[str, Any]
    engine: str
    max_rank: int
    max_bytes: int


class ReportedArtifact(msgspec.Struct, frozen=True):
    """The repacked archive that was written."""

    sha256: str
    size_bytes: int


class Report(msgspec.Struct, frozen=True):
    """The verdict, and the artifact when it is accepted."""

    accepted: bool
    findings: tuple[Finding, ...]
    facts: dict[str, Any]
    artifact: ReportedArtifact | None
