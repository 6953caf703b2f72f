"""What a webhook carries: the event's name, time and frozen data, in at most 20 KB.

    {"type": "invoice.finalized", "timestamp": "2026-12-01T01:00:04.112000Z", "sequence": 7,
     "data": {"id": "inv_…", "tenant": "ten_…", "number": "INV-2026-000131", …}}

`data` has what the event's author froze with it, and always the ids of the object and its tenant. `sequence` counts
what happened to that object: a receiver that has seen 7 ignores a late 6, because deliveries may overtake each other.
"""

import json
from datetime import UTC
from typing import Any

from events.models import Event

LARGEST_BYTES = 20_000


def body_of(event: Event, *, sequence: int) -> str:
    """The message as it is sent and kept. What would be too large is replaced by the ids and `"truncated": true`."""
    ids = {"id": event.subject_ref, "tenant": event.tenant_ref or None}
    whole = _message(event, sequence, {**ids, **(event.data or {})})
    return whole if len(whole.encode()) <= LARGEST_BYTES else _message(event, sequence, {**ids, "truncated": True})


def _message(event: Event, sequence: int, data: dict[str, Any]) -> str:
    timestamp = event.created_at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    message = {"type": event.name, "timestamp": timestamp, "sequence": sequence, "data": data}
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))
