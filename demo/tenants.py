"""Who takes part in the demo: three tenants, one per hosted tier, with the sample adapters that they bring, one that is
answered by APIs, and one that chooses between its own endpoint and an API; those two have none."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass

from local_stack.paths import ROOT

SAMPLES = ROOT / "tests" / "data" / "adapters"
ADAPTER = "support"


@dataclass(frozen=True)
class Cast:
    """One tenant of the story."""

    slug: str
    name: str
    tier: str
    currency: str
    timezone: str
    language: str
    sample: str
    share: int
    """Of the trace's requests, beside the others' shares."""


TENANTS = (
    Cast("acorn", "Acorn Books", "basic", "USD", "UTC", "en", "ok-r8-qv", 1),
    Cast("hinoki", "Hinoki Shoten K.K.", "advanced", "JPY", "Asia/Tokyo", "ja", "ok-r8-bf16", 3),
    Cast("meridian", "Meridian Health", "premium", "USD", "UTC", "en", "ok-r8-qv", 1),
)
OF_APIS = Cast("brook", "Brook Advisory", "advanced-api", "USD", "UTC", "en", "", 0)
OF_CHOICE = Cast("heron", "Heron Clinics", "premium-choice", "USD", "UTC", "en", "", 0)
SECOND_VERSION = "ok-r16-all"
ACCEPTED = ("ok-r8-qv", "ok-r16-all", "ok-r8-bf16")
REFUSED = {
    "bad-dora": "dora_unsupported",
    "bad-modules-to-save": "modules_to_save_unsupported",
    "bad-pickle-only": "pickle_refused",
    "bad-wrong-base": "shape_mismatch",
}


def files_of(sample: str) -> dict[str, bytes]:
    """The files of a sample adapter by name."""
    return {file.name: file.read_bytes() for file in sorted((SAMPLES / sample).iterdir())}


def archive_of(sample: str) -> bytes:
    """The same as one .tar.gz, in a folder whose name says nothing: the gate must go by what is inside."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files_of(sample).items():
            entry = tarfile.TarInfo(f"upload/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
