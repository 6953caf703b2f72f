"""One answer of the pre-flight."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PreflightCheck:
    """`key` names what was checked, `code` the reason when it speaks against it; `shortfall` is what is missing."""

    key: str
    ok: bool
    detail: str
    shortfall: str = ""
    code: str = ""
    what_to_do: str = ""


def passed(key: str, detail: str) -> PreflightCheck:
    """Nothing in the way."""
    return PreflightCheck(key=key, ok=True, detail=detail)


def refused(key: str, code: str, detail: str, *, shortfall: str = "", what_to_do: str) -> PreflightCheck:
    """In the way."""
    return PreflightCheck(key=key, ok=False, detail=detail, shortfall=shortfall, code=code, what_to_do=what_to_do)
