"""Idempotency-Key: a repeated request is answered with the first reply and not done again.

    first time            the request is written down as in flight, done, and its reply kept for 72 hours
    again, same body      the kept reply, with `Idempotency-Replayed: true`
    again, other body     422: the key was for something else
    again, too early      409 with Retry-After: the first is still in flight
    the first failed      its row is gone, so the repetition is done like a first request
    the first crashed     after its lease: the audit trail, which commits together with the change, is asked whether
                          the first had done it; if so that is the reply, otherwise the request is done now.
                          Uniqueness of the fact itself (a slug, a seal) holds behind all that, for ever

The scope of a key is principal, method and path. After the IETF's draft-ietf-httpapi-idempotency-key-header.
"""

import hashlib
import json
import logging
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from django.db import transaction
from django.http import Http404
from psycopg.types.json import Jsonb
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from api.authentication import principal_of_request, request_id_of
from api.models import IdempotentRequest
from api.rendering import Json
from core import clock
from core.crashpoints import crashpoint
from core.errors import Conflict, DomainError, Invalid
from core.prepared import run
from core.reading import the_one

log = logging.getLogger(__name__)

KEPT = timedelta(hours=72)
# Longer than any request may take (gunicorn ends one after 30 s), so that only a crash lets a lease run out.
LEASE = timedelta(seconds=60)
SWEPT_AT_ONCE, ONE_SWEEPS_OF = 100, 10
REPLAYED = "Idempotency-Replayed"
KEPT_HEADERS = ("Location", "ETag", "Link")
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_KEEP = """
UPDATE api_idempotentrequest SET status = %(status)s, headers = %(headers)s, body = %(body)s
WHERE id = %(pk)s AND attempt = %(token)s RETURNING id
"""


class KeyRule(Enum):
    """What an operation makes of an Idempotency-Key."""

    REQUIRED = "required"  # it makes money or infrastructure
    ACCEPTED = "accepted"  # other changes: used when it is sent
    IGNORED = "ignored"  # reads; and replies that must not be kept (secrets) or bodies that are streams


class IdempotencyKeyMissing(DomainError):
    """The operation makes money or infrastructure, and a lost reply must not make it twice."""

    code = "idempotency_key_missing"
    status = 400
    title = "Idempotency-Key missing"


class IdempotencyKeyInvalid(DomainError):
    """An Idempotency-Key is 1 to 255 printable ASCII characters without spaces."""

    code = "idempotency_key_invalid"
    status = 400
    title = "Idempotency-Key not usable"


class IdempotencyKeyReused(Invalid):
    """The key was sent before with another body or other parameters. Nothing was done."""

    code = "idempotency_key_reused"
    title = "Idempotency-Key reused"


class RequestInFlight(Conflict):
    """The first request with this key is still being worked on."""

    code = "request_in_flight"
    title = "The first request is still in flight"
    retryable = True

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(
            "A request with this Idempotency-Key is still being worked on.", hint="Send it again after Retry-After."
        )
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Attempt:
    """This process's right to do the request and to keep its reply."""

    pk: int
    token: str
    request_before: str = ""  # the request id of an attempt that died, for one that takes over


def run_once(
    rule: KeyRule,
    request: Request,
    do: Callable[[], Response],
    found_done: Callable[[str], Response | None],
) -> Response:
    """Answer with `do()`, or with what it answered before. See the module's table for the refusals.

    `found_done` is asked after a crash: given the request id of the attempt that died, it answers the reply for what
    that attempt had committed, or None when it had not.
    """
    key = request.headers.get("Idempotency-Key")
    if rule is KeyRule.IGNORED or (rule is KeyRule.ACCEPTED and key is None):
        return do()
    if key is None or not key.strip():
        raise IdempotencyKeyMissing(
            "This operation needs an Idempotency-Key header.",
            hint="Send a new UUID for each thing you want done, and the same one again when you repeat a request.",
        )
    if not _KEY.fullmatch(key):
        raise IdempotencyKeyInvalid("The Idempotency-Key has characters that it cannot have, or is too long.")
    begun = _begin(request, key)
    if isinstance(begun, Response):
        return begun
    crashpoint("request: begun")
    try:
        response = found_done(begun.request_before) if begun.request_before else None
        if response is None:
            response = do()
        else:
            response[REPLAYED] = "true"
    except (DomainError, APIException, Http404):
        _forget(begun)
        raise
    except Exception:
        _let_go(begun)  # a bug of ours may come after the commit: the repetition looks before it does
        raise
    crashpoint("request: done")
    _keep(begun, response)
    crashpoint("request: kept")
    return response


def _begin(request: Request, key: str) -> Attempt | Response:
    """Write the request down as ours, or find out what became of the first one."""
    at, token = clock.real_now(), secrets.token_hex(16)
    identity = {
        "principal": principal_of_request(request).actor.ref,
        "method": request.method,
        "path": request.path,
        "key": key,
    }
    ours: dict[str, Any] = {
        "fingerprint": _fingerprint(request),
        "attempt": token,
        "request_id": request_id_of(request),
        "leased_until": at + LEASE,
        "expires_at": at + KEPT,
        "status": None,
        "headers": None,
        "body": None,
    }
    if secrets.randbelow(ONE_SWEEPS_OF) == 0:
        _sweep(at)
    pk = _write_down({name: value for name, value in {**identity, **ours}.items() if value is not None})
    if pk is not None:
        return Attempt(pk, token)
    with transaction.atomic(durable=True):
        row = the_one(IdempotentRequest.objects.select_for_update(no_key=True).filter(**identity))
        if row is None:  # the first one failed between our two looks, and its row went
            raise RequestInFlight(1)
        if row.expires_at > at:
            if row.fingerprint != ours["fingerprint"]:
                raise IdempotencyKeyReused(
                    "This Idempotency-Key was sent before with another request.",
                    hint="Use a new key for a new request; repeat the old one unchanged to get its reply.",
                )
            if row.status is not None:
                return _replay(row)
            if row.leased_until > at:
                raise RequestInFlight(max(1, round((row.leased_until - at).total_seconds())))
        # Its time is over, or whoever worked on it died: it is ours now.
        died = row.request_id if row.expires_at > at else ""
        IdempotentRequest.objects.filter(pk=row.pk).update(**ours)
        return Attempt(row.pk, token, request_before=died)


def _write_down(columns: Mapping[str, Any]) -> int | None:
    """The pk of a new row; None when there is one of this identity. One statement, committed at once."""
    rows = run(
        f"INSERT INTO api_idempotentrequest ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))}) "
        "ON CONFLICT DO NOTHING RETURNING id",
        list(columns.values()),
    )
    return int(rows[0][0]) if rows else None


def _keep(attempt: Attempt, response: Response) -> None:
    kept = {
        "status": response.status_code,
        "headers": Jsonb({name: response[name] for name in KEPT_HEADERS if name in response}),
        "body": Json().render(response.data).decode(),
        "pk": attempt.pk,
        "token": attempt.token,
    }
    if not run(_KEEP, kept):
        log.warning("a request outlived its idempotency lease of %s", LEASE)


def _forget(attempt: Attempt) -> None:
    IdempotentRequest.objects.filter(pk=attempt.pk, attempt=attempt.token).delete()


def _let_go(attempt: Attempt) -> None:
    """Ends the lease, so that the repetition need not wait for it."""
    ours = IdempotentRequest.objects.filter(pk=attempt.pk, attempt=attempt.token)
    ours.update(leased_until=clock.real_now())


def _replay(row: IdempotentRequest) -> Response:
    body = json.loads(row.body) if row.body else None
    return Response(body, status=row.status, headers={**(row.headers or {}), REPLAYED: "true"})


def _sweep(at: datetime) -> None:
    """Forget some replies whose time is over: one request in ten does, and clears away more than ten add."""
    over = (
        IdempotentRequest.objects.filter(expires_at__lte=at)
        .select_for_update(skip_locked=True, no_key=True)
        .values("pk")
    )
    with transaction.atomic(durable=True):
        IdempotentRequest.objects.filter(pk__in=over[:SWEPT_AT_ONCE]).delete()


def _fingerprint(request: Request) -> str:
    """What makes two requests the same: parameters and body, whatever the order of the body's fields."""
    said = [sorted(request.query_params.lists()), request.data]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
