"""What differs between two versions. Pure: values in, values out.

Whether a metric got better depends on which way it is meant, which only its name can tell. Names that tell nothing are
reported as changed, without a judgement.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_LISTED = 200
"""Tensors named in each list; the counts say how many there are."""
_WORD = re.compile(r"[a-z]+|\d+")
_LOWER_IS_BETTER = frozenset(
    {
        "loss",
        "perplexity",
        "ppl",
        "error",
        "errors",
        "err",
        "wer",
        "cer",
        "ter",
        "mae",
        "mse",
        "rmse",
        "latency",
        "ms",
        "seconds",
        "toxicity",
        "hallucination",
        "hallucinations",
        "refusal",
        "refusals",
        "cost",
        "bias",
    }
)
_HIGHER_IS_BETTER = frozenset(
    {
        "accuracy",
        "acc",
        "f",
        "f1",
        "bleu",
        "rouge",
        "rougel",
        "meteor",
        "chrf",
        "bertscore",
        "precision",
        "recall",
        "auc",
        "auroc",
        "score",
        "match",
        "pass",
        "win",
        "wins",
        "mrr",
        "ndcg",
        "map",
        "exact",
        "em",
        "success",
        "reward",
        "throughput",
    }
)


@dataclass(frozen=True, slots=True)
class Contents:
    """What an artifact holds: its configuration, and the dtype and shape of each tensor by name."""

    config: Mapping[str, Any]
    tensors: Mapping[str, tuple[str, tuple[int, ...]]]


@dataclass(frozen=True, slots=True)
class Change:
    """A value by name, before and after; None where there is none."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class MetricChange:
    """A number by name. `direction` is lower or higher where the name tells which is better, else unknown; `verdict` is
    better, worse, same, changed, added or removed."""

    name: str
    before: float | None
    after: float | None
    direction: str
    verdict: str


@dataclass(frozen=True, slots=True)
class TensorChanges:
    """Tensors by name, at most `MOST_LISTED` in each list, with how many there are."""

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    added_count: int = 0
    removed_count: int = 0
    changed_count: int = 0
    same_count: int = 0


def config_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Settings that differ, by name."""
    names = sorted({*before, *after})
    return [Change(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]


def tensor_changes(before: Contents, after: Contents) -> TensorChanges:
    """Tensors that only one has, and those of another dtype or shape."""
    old, new = before.tensors, after.tensors
    added, removed = sorted(new.keys() - old.keys()), sorted(old.keys() - new.keys())
    changed = [name for name in sorted(old.keys() & new.keys()) if old[name] != new[name]]
    return TensorChanges(
        added=added[:MOST_LISTED],
        removed=removed[:MOST_LISTED],
        changed=[Change(name, _told(old[name]), _told(new[name])) for name in changed[:MOST_LISTED]],
        added_count=len(added),
        removed_count=len(removed),
        changed_count=len(changed),
        same_count=len(old.keys() & new.keys()) - len(changed),
    )


def metric_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[MetricChange]:
    """Every number in either, by name, nested ones joined with dots; what is no number is left out."""
    old, new = dict(_numbers(before)), dict(_numbers(after))
    return [_metric(name, old.get(name), new.get(name)) for name in sorted({*old, *new})]


def direction_of(metric: str) -> str:
    """`lower` or `higher`, whichever is better by the metric's name, or `unknown`."""
    words = _WORD.findall(metric.lower())
    if any(word in _LOWER_IS_BETTER for word in words):
        return "lower"  # error_rate, score_loss: what is lost outweighs what is scored
    return "higher" if any(word in _HIGHER_IS_BETTER for word in words) else "unknown"


def _metric(name: str, before: float | None, after: float | None) -> MetricChange:
    direction = direction_of(name)
    if before is None or after is None:
        verdict = "added" if before is None else "removed"
    elif before == after:
        verdict = "same"
    elif direction == "unknown":
        verdict = "changed"
    else:
        verdict = "better" if (after > before) == (direction == "higher") else "worse"
    return MetricChange(name, before, after, direction, verdict)


def _numbers(values: Mapping[str, Any], prefix: str = "") -> Sequence[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.append((f"{prefix}{name}", float(value)))
    return found


def _told(tensor: tuple[str, tuple[int, ...]]) -> str:
    dtype, shape = tensor
    return f"{dtype} {' x '.join(map(str, shape))}"
