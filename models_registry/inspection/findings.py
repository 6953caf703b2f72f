"""What the gate has to say about an upload: findings with a stable code, a sentence, and what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong (error: the upload is refused) or worth knowing (warning).

    `code` is part of the API and never changes its meaning; `tensor` names the first tensor concerned, if any.
    """

    code: str
    severity: Severity
    message: str
    hint: str = ""
    tensor: str = ""

    def as_dict(self) -> dict[str, str]:
        """The finding as it is stored and sent out."""
        return asdict(self)


class Refusal(Exception):
    """Reading on would be pointless or unsafe; carries the finding that says why."""

    def __init__(self, code: str, message: str, hint: str = "", tensor: str = "") -> None:
        super().__init__(message)
        self.finding = Finding(code, "error", message, hint, tensor)


class Findings:
    """Collects findings, one per code: the first is told in full, later ones of the same code are counted.

    A wrong base model makes every tensor wrong; a person needs the first tensor and the count, not 448 sentences.
    """

    def __init__(self) -> None:
        self._first: dict[str, Finding] = {}
        self._counts: dict[str, int] = {}

    def error(self, code: str, message: str, hint: str = "", tensor: str = "") -> None:
        """Add something that refuses the upload."""
        self.add(Finding(code, "error", message, hint, tensor))

    def warn(self, code: str, message: str, hint: str = "", tensor: str = "") -> None:
        """Add something worth knowing that refuses nothing."""
        self.add(Finding(code, "warning", message, hint, tensor))

    def add(self, finding: Finding) -> None:
        """Add a finding that is already made."""
        self._first.setdefault(finding.code, finding)
        self._counts[finding.code] = self._counts.get(finding.code, 0) + 1

    def merge(self, other: Findings) -> None:
        """Take over everything that `other` holds."""
        for code, finding in other._first.items():
            self._first.setdefault(code, finding)
            self._counts[code] = self._counts.get(code, 0) + other._counts[code]

    def __contains__(self, code: str) -> bool:
        return code in self._first

    @property
    def refuses(self) -> bool:
        """True when at least one finding is an error."""
        return any(finding.severity == "error" for finding in self._first.values())

    def told(self) -> tuple[Finding, ...]:
        """All findings, errors first, each with the number of further places where it applies."""
        ordered = sorted(self._first.values(), key=lambda finding: finding.severity != "error")
        return tuple(self._with_count(finding) for finding in ordered)

    def _with_count(self, finding: Finding) -> Finding:
        more = self._counts[finding.code] - 1
        if not more:
            return finding
        return replace(finding, message=f"{finding.message} ({more} more like this.)")
