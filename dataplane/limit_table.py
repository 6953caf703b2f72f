"""Reserve and settle in DynamoDB: what a tenant's requests hold and have used, exact under any number of callers.

One partition per tenant: a counter per meter and window (`c#minute#1764000000#total_tokens`; with a line's name before
the meter it is that line's allowance), and an item per
reservation, whose key says where it is in its life:

    held#{expires}#{id} --settle--> done#{id}
            |                          ^
            +--expired--> late#{id} ---+   (an answer that came after all is counted in full)

Each arrow is one DynamoDB transaction over the reservation and its counters, so that a crash on any line leaves both
or neither changed, and a request that is sent again (a lost reply) changes nothing twice. Old items go by the table's
TTL on `expires_at`. A transaction costs two write units per item; parallel ones of one tenant collide and are tried
again with jitter.
"""

from __future__ import annotations

import random
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dataplane.budgets import HARD, NOTHING, SHADOW, Counter, Limit, Tokens, meter_of
from dataplane.errors import InvalidRequest, LimitExceeded, LimitsBusy, LimitsUnavailable

# Longer than the longest answer: AWS ends a stream after eight minutes.
RESERVATION_SECONDS = 600
DAY_SECONDS = 86_400
# How long counters stay readable after their last change, by window; settled reservations stay a day.
KEEP_SECONDS = {"minute": DAY_SECONDS, "day": 9 * DAY_SECONDS, "month": 70 * DAY_SECONDS}
# Fifty callers of one tenant are through after about half a second (measured against the local AWS, which lets one
# transaction through at a time).
PATIENCE_SECONDS = 3.0
LONGEST_PAUSE_SECONDS = 0.08
SWEEP_AT_ONCE = 25
IDS = re.compile(r"rsv_([0-9a-f]{8})[0-9a-f]{16}")
TRY_AGAIN = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})


@dataclass(frozen=True, slots=True)
class Reservation:
    """Tokens that are held for one request, the counters that hold them, and the soft limits that it is over."""

    id: str
    held: Tokens
    counters: tuple[str, ...]
    over: tuple[Limit, ...] = ()

    @property
    def expires_at(self) -> int:
        """Epoch seconds after which it may be given back."""
        return _expiry(self.id)


class LimitTable:
    """One tenant's counters and reservations. `client` is a boto3 dynamodb client; `clock` is for expiry only."""

    def __init__(self, client: Any, table: str, tenant: str, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._table = table
        self._tenant = tenant
        self._clock = clock

    def reserve(self, counters: Sequence[Counter], estimate: Tokens, at: float) -> Reservation:
        """Hold `estimate` in every counter, or in none.

        Raises LimitExceeded when a hard limit has no room for it, InvalidRequest when it never will have, and
        LimitsUnavailable. What was abandoned is given back before anybody is refused.
        """
        for counter in counters:
            _refuse_impossible(counter, estimate, at)
        reservation_id = f"rsv_{int(self._clock()) + RESERVATION_SECONDS:08x}{secrets.token_hex(8)}"
        reservation = Reservation(reservation_id, estimate, tuple(each.key for each in counters))
        over: list[Limit] = []
        has_swept = False
        while True:
            changes = [self._add(each, estimate, is_bound=not _is_free(each.limit, over)) for each in counters]
            failed = self._write([self._put(_held_key(reservation_id), reservation, is_new=True), *changes])
            if not failed or 0 in failed:  # 0: it stands already, and the reply to it was lost
                return Reservation(reservation_id, estimate, reservation.counters, tuple(over))
            full = [counters[index - 1] for index in failed]
            hard = next((each for each in full if each.limit.mode == HARD), None)
            if hard is None:
                over += [each.limit for each in full]
            elif has_swept or not self.give_back_expired():
                raise _exceeded(hard, at)
            else:
                has_swept = True

    def settle(self, reservation: Reservation, actual: Tokens) -> bool:
        """Put what was used in place of what was held; False, and nothing changes, when it was settled before.

        What was given back meanwhile is counted all the same. Raises LimitsUnavailable.
        """
        done = self._put(f"done#{reservation.id}", reservation, is_new=True)
        held = self._delete(_held_key(reservation.id), must_exist=True)
        if not self._write([held, done, *self._differences(reservation, actual, reservation.held)]):
            return True
        late = self._delete(f"late#{reservation.id}")
        return not self._write([done, late, *self._differences(reservation, actual, NOTHING)])

    def find(self, reservation_id: str) -> Reservation | None:
        """A reservation of the last day, in whatever state; None for an unknown one. Raises LimitsUnavailable."""
        if not IDS.fullmatch(reservation_id):
            return None
        for key in (_held_key(reservation_id), f"late#{reservation_id}", f"done#{reservation_id}"):
            item = self._call("get_item", Key=self._key(key), ConsistentRead=True).get("Item")
            if item is not None:
                return _read(reservation_id, item)
        return None

    def give_back_expired(self) -> int:
        """Free what abandoned reservations hold; how many there were, at most 25 at once. Raises LimitsUnavailable."""
        reply = self._call(
            "query",
            KeyConditionExpression="tenant = :t AND #i BETWEEN :from AND :to",
            ExpressionAttributeNames={"#i": "item"},
            ExpressionAttributeValues={
                ":t": {"S": self._tenant},
                ":from": {"S": "held#"},
                ":to": {"S": f"held#{int(self._clock()):010d}"},
            },
            ConsistentRead=True,
            Limit=SWEEP_AT_ONCE,
        )
        return sum(self._give_back(item) for item in reply.get("Items", []))

    def used(self, keys: Iterable[str]) -> dict[str, int]:
        """What counters stand at, holds included; zero for those that never counted. Raises LimitsUnavailable."""
        counts = dict.fromkeys(keys, 0)
        wanted = [self._key(key) for key in counts]
        while wanted:
            reply = self._call_batch({self._table: {"Keys": wanted, "ConsistentRead": True}})
            for item in reply.get("Responses", {}).get(self._table, []):
                counts[item["item"]["S"]] = int(item["used"]["N"])
            wanted = reply.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
        return counts

    def add(self, amounts: Mapping[str, int]) -> None:
        """Count tokens that no reservation holds, whatever the limits. Raises LimitsUnavailable."""
        changes = [self._change(key, amount) for key, amount in amounts.items() if amount]
        if changes:
            self._write(changes)

    def _give_back(self, item: Mapping[str, Any]) -> bool:
        key = item["item"]["S"]
        reservation = _read(key.rsplit("#", 1)[1], item)
        late = self._put(f"late#{reservation.id}", reservation)
        changes = self._differences(reservation, NOTHING, reservation.held)
        return not self._write([self._delete(key, must_exist=True), late, *changes])

    def _differences(self, reservation: Reservation, actual: Tokens, counted: Tokens) -> list[dict[str, Any]]:
        amounts = {key: actual.of(meter_of(key)) - counted.of(meter_of(key)) for key in reservation.counters}
        return [self._change(key, amount) for key, amount in amounts.items() if amount]

    # --- DynamoDB's words ---------------------------------------------------------------------------------------
    def _add(self, counter: Counter, estimate: Tokens, *, is_bound: bool) -> dict[str, Any]:
        tokens = estimate.of(counter.limit.meter)
        change = self._change(counter.key, tokens)
        room = counter.limit.amount - tokens
        if is_bound:
            # A limit that is smaller than the request has no room even while nothing was counted.
            condition = "attribute_not_exists(used) OR used <= :room" if room >= 0 else "used <= :room"
            change["Update"]["ConditionExpression"] = condition
            change["Update"]["ExpressionAttributeValues"][":room"] = {"N": str(room)}
        return change

    def _change(self, key: str, amount: int) -> dict[str, Any]:
        keep = KEEP_SECONDS[key.split("#", 2)[1]]
        return {
            "Update": {
                "TableName": self._table,
                "Key": self._key(key),
                "UpdateExpression": "ADD used :n SET expires_at = :e",
                "ExpressionAttributeValues": {
                    ":n": {"N": str(amount)},
                    ":e": {"N": str(int(self._clock()) + keep)},
                },
            }
        }

    def _put(self, key: str, reservation: Reservation, *, is_new: bool = False) -> dict[str, Any]:
        item = {
            **self._key(key),
            "input": {"N": str(reservation.held.input)},
            "output": {"N": str(reservation.held.output)},
            "counters": {"L": [{"S": counter} for counter in reservation.counters]},
        }
        if not key.startswith("held#"):  # TTL must not take what is still held: its counters would never be told
            item["expires_at"] = {"N": str(int(self._clock()) + DAY_SECONDS)}
        condition = {"ConditionExpression": "attribute_not_exists(tenant)"} if is_new else {}
        return {"Put": {"TableName": self._table, "Item": item, **condition}}

    def _delete(self, key: str, *, must_exist: bool = False) -> dict[str, Any]:
        condition = {"ConditionExpression": "attribute_exists(tenant)"} if must_exist else {}
        return {"Delete": {"TableName": self._table, "Key": self._key(key), **condition}}

    def _key(self, item: str) -> dict[str, Any]:
        return {"tenant": {"S": self._tenant}, "item": {"S": item}}

    def _write(self, changes: Sequence[Mapping[str, Any]]) -> list[int]:
        """Make all changes or none: the places of those whose condition failed, so empty when all were made.

        Collisions with other transactions are tried again. Raises LimitsBusy when they do not end, LimitsUnavailable
        for all else.
        """
        stop_at, pause = time.monotonic() + PATIENCE_SECONDS, 0.005
        while True:
            try:
                self._client.transact_write_items(TransactItems=list(changes))
                return []
            except (ClientError, BotoCoreError) as error:
                reasons = _reasons(error)
                failed = [place for place, code in enumerate(reasons) if code == "ConditionalCheckFailed"]
                if failed:
                    return failed
                if not TRY_AGAIN.intersection(reasons):
                    raise self._unavailable(error) from None
                if time.monotonic() >= stop_at:
                    raise LimitsBusy(
                        f"Too many requests of {self._tenant} are being counted at once: {error}"
                    ) from None
            time.sleep(random.uniform(0, pause))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        try:
            reply: dict[str, Any] = getattr(self._client, operation)(TableName=self._table, **arguments)
        except (ClientError, BotoCoreError) as error:
            raise self._unavailable(error) from None
        return reply

    def _call_batch(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        try:
            reply: dict[str, Any] = self._client.batch_get_item(RequestItems=wanted)
        except (ClientError, BotoCoreError) as error:
            raise self._unavailable(error) from None
        return reply

    def _unavailable(self, error: Exception) -> LimitsUnavailable:
        return LimitsUnavailable(f"The limits table {self._table} does not answer: {error}")


def _reasons(error: Exception) -> list[str]:
    """Per change the code for which a transaction was cancelled; empty for any other error."""
    if not isinstance(error, ClientError):
        return []
    found: Any = error.response  # the stubs do not know that this one carries reasons
    return [str(reason.get("Code") or "None") for reason in found.get("CancellationReasons", [])]


def _read(reservation_id: str, item: Mapping[str, Any]) -> Reservation:
    held = Tokens(int(item["input"]["N"]), int(item["output"]["N"]))
    return Reservation(reservation_id, held, tuple(each["S"] for each in item["counters"]["L"]))


def _held_key(reservation_id: str) -> str:
    return f"held#{_expiry(reservation_id):010d}#{reservation_id}"


def _expiry(reservation_id: str) -> int:
    return int(reservation_id[4:12], 16)


def _is_free(limit: Limit, over: Sequence[Limit]) -> bool:
    return limit.mode == SHADOW or limit in over


def _refuse_impossible(counter: Counter, estimate: Tokens, at: float) -> None:
    limit = counter.limit
    asked = estimate.of(limit.meter)
    if limit.mode == HARD and asked > limit.amount:
        if limit.line:  # another line may have room
            raise _exceeded(counter, at)
        raise InvalidRequest(
            f"The request may cost {asked} {limit.meter}, more than a whole {limit.window}'s {limit.amount}: "
            "shorten the prompt or lower max_tokens."
        )


def _exceeded(counter: Counter, at: float) -> LimitExceeded:
    limit = counter.limit
    wait = max(1, int(counter.end - at + 0.999))
    what = f"allowance of line {limit.line}" if limit.line else "limit"
    return LimitExceeded(
        f"The {what} of {limit.amount} {limit.meter} per {limit.window} has no room for this request; "
        f"the next {limit.window} begins in {wait} s.",
        retry_after_seconds=wait,
        window=limit.window,
        meter=limit.meter,
        line=limit.line,
    )
