"""What people say about an upload: checked once, whichever door it came by."""

import json
from collections.abc import Mapping
from typing import Any

from core.errors import FieldError, Invalid

MAX_NOTES = 4000
MAX_METRICS_CHARACTERS = 8 * 1024
LENGTHS = {"dataset_ref": 200, "base_revision": 100, "training_job": 300}
"""Words of one line, each with its most characters."""
WORDS = ("notes", "metrics", *LENGTHS)
_NAMES = {"dataset_ref": "A dataset reference", "base_revision": "A base revision", "training_job": "A training job"}


class UploadInvalid(Invalid):
    """Nothing usable was sent, or the words sent with it are too long."""

    code = "upload_invalid"
    title = "The upload cannot be used"


def clean(words: Mapping[str, Any]) -> dict[str, Any]:
    """All of `WORDS` as a version keeps them, absent ones empty. Raises UploadInvalid, which names each field."""
    cleaned: dict[str, Any] = {"notes": words.get("notes") or "", "metrics": dict(words.get("metrics") or {})}
    cleaned |= {name: words.get(name) or "" for name in LENGTHS}
    errors: list[FieldError] = []
    if len(cleaned["notes"]) > MAX_NOTES or not _is_storable(cleaned["notes"]):
        errors.append(FieldError("/notes", "invalid", f"Notes are up to {MAX_NOTES} characters of text."))
    for name, longest in LENGTHS.items():
        if len(cleaned[name]) > longest or not cleaned[name].isprintable():
            errors.append(FieldError(f"/{name}", "invalid", f"{_NAMES[name]} is up to {longest} printable characters."))
    detail = _wrong_metrics(cleaned["metrics"])
    if detail:
        errors.append(FieldError("/metrics", "invalid", detail))
    if errors:
        raise UploadInvalid(" ".join(error.detail for error in errors), errors=errors)
    return cleaned


def _wrong_metrics(metrics: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(metrics, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return "The metrics are not plain JSON."
    if len(text) > MAX_METRICS_CHARACTERS or "\\u0000" in text or not _is_storable(text):
        return f"Metrics are up to {MAX_METRICS_CHARACTERS} characters of JSON."
    return ""


def _is_storable(text: str) -> bool:
    """PostgreSQL takes neither the character NUL nor half a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
