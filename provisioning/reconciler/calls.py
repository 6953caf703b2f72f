"""Keeps what AWS was asked and said, by resource: one statement per pass, whatever the number of rows."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from django.db import connection

from core.clock import now
from provisioning.models import ManagedResource
from provisioning.reconciler.outcome import Outcome

# A message longer than this is a page of HTML.
LONGEST_SAID = 2000
KEEP = """
    INSERT INTO provisioning_resourcecall (resource_id, operation, said, said_digest, request_id, times, first_at, at)
    SELECT resource_id, operation, said, said_digest, request_id, 1, %(at)s, %(at)s
    FROM json_to_recordset(%(calls)s::json) AS told (
        resource_id bigint, operation text, said text, said_digest text, request_id text
    )
    ON CONFLICT (resource_id, operation, said_digest) DO UPDATE
    SET times = provisioning_resourcecall.times + 1, at = excluded.at, request_id = excluded.request_id
"""


def keep_calls(rows: Iterable[ManagedResource], outcomes: Mapping[int, Outcome]) -> None:
    """Keep the calls of those rows whose outcome says that one was made; looks that were answered are none."""
    calls = [_call(row.pk, changes) for row in rows if "last_operation" in (changes := outcomes[row.pk].changes)]
    if calls:
        with connection.cursor() as cursor:
            cursor.execute(KEEP, {"at": now(), "calls": msgspec.json.encode(calls).decode()})


def _call(resource_id: int, changes: Mapping[str, Any]) -> dict[str, Any]:
    operation = str(changes["last_operation"])
    detail = str(changes.get("detail", ""))
    # A refusal is told as "operation: what AWS said"; a deletion after a failure tells why, too.
    said = detail.removeprefix(f"{operation}: ")[:LONGEST_SAID]
    return {
        "resource_id": resource_id,
        "operation": operation[:60],
        "said": said,
        "said_digest": hashlib.md5(said.encode(), usedforsecurity=False).hexdigest(),
        "request_id": str(changes.get("last_request_id", ""))[:100],
    }
