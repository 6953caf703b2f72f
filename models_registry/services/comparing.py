"""Compares two versions: what their artifacts hold, and what was said about them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from aws import errors
from aws.connect import artifacts
from core.errors import Conflict
from models_registry.comparison import (
    Change,
    Contents,
    MetricChange,
    TensorChanges,
    config_changes,
    metric_changes,
    tensor_changes,
)
from models_registry.inspection.archive import read_archive
from models_registry.inspection.findings import Refusal
from models_registry.inspection.safetensors import read_header
from models_registry.inspection.sources import CONFIG_NAME
from models_registry.models import AdapterVersion

_FRONT_BYTES = 64 * 1024 * 1024
"""Of an artifact only the front is read: its configuration and the header of its weights, which the gate bounds."""
_SAID = ("notes", "dataset_ref", "base_revision", "training_job", "uploaded_by")


class NotComparable(Conflict):
    """Only versions that passed the gate have an artifact to compare."""

    code = "versions_not_comparable"
    title = "The versions cannot be compared"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed from `before` to `after`. Sizes are bytes of the artifacts, as they are served.

    `problem` says why the artifacts could not be read; what stands in our own books is compared all the same.
    """

    before: AdapterVersion
    after: AdapterVersion
    config: list[Change]
    tensors: TensorChanges
    metrics: list[MetricChange]
    provenance: list[Change]
    is_same_content: bool
    problem: str = ""

    @property
    def size_change(self) -> int:
        """How many bytes the later one is larger."""
        return (self.after.size_bytes or 0) - (self.before.size_bytes or 0)


def compare_versions(*, before: AdapterVersion, after: AdapterVersion) -> Comparison:
    """Read both artifacts' fronts and say what differs.

    Raises NotComparable for a version without an artifact.
    """
    for version in (before, after):
        if not version.artifact_key:
            raise NotComparable(f"{version} did not pass the gate.", hint="Compare versions that have a number.")
    is_same, problem = before.sha256 == after.sha256, ""
    old = new = Contents({}, {})
    try:
        if not is_same:
            old, new = read_contents(before), read_contents(after)
    except errors.AwsError as error:
        old = new = Contents({}, {})
        problem = f"The artifacts cannot be read: {error.operation}: {error.message or error.code}"
    said = [(name, getattr(before, name), getattr(after, name)) for name in _SAID]
    return Comparison(
        before=before,
        after=after,
        config=config_changes(old.config, new.config),
        tensors=tensor_changes(old, new),
        metrics=metric_changes(before.metrics, after.metrics),
        provenance=[Change(name, old_word, new_word) for name, old_word, new_word in said if old_word != new_word],
        is_same_content=is_same,
        problem=problem,
    )


def read_contents(version: AdapterVersion) -> Contents:
    """The configuration and the tensors of a version's artifact, without its values. Raises aws.errors."""
    config: dict[str, object] = {}
    with _opened(version.artifact_key) as stream:
        for member in read_archive(stream, max_bytes=max(_FRONT_BYTES, (version.size_bytes or 0) * 2)):
            if member.name == CONFIG_NAME:
                config = json.loads(member.read_exactly(member.size))
                continue
            try:
                header = read_header(member.read_exactly, member.size)
            except Refusal as refusal:  # the gate wrote it, so this is damage
                raise NotComparable(f"The artifact of {version} cannot be read: {refusal}") from refusal
            return Contents(config, {tensor.name: (tensor.dtype, tuple(tensor.shape)) for tensor in header.tensors})
    raise NotComparable(f"The artifact of {version} has no weights.")


@contextmanager
def _opened(key: str) -> Iterator[BinaryIO]:
    stream = artifacts().open(key)
    try:
        yield stream
    finally:
        stream.close()
