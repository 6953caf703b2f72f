"""The limits table over a boto3 `dynamodb` client.

What is written there is the kit's own code: two writers of one budget that differed would let requests past it.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from aws import errors
from aws.boto.partitions import count_partition, erase_partition
from aws.boto.translate import call
from aws.gateway import (
    BreakerSighting,
    DegradeCount,
    Full,
    Held,
    Level,
    LineAllowance,
    TurnedAway,
    Watched,
    WindowUse,
)
from dataplane import reports
from dataplane.budgets import HARD, Budgets, Counter, Limit, Tokens, budgets_of
from dataplane.errors import InvalidRequest, LimitExceeded, LimitsBusy, LimitsUnavailable
from dataplane.limit_table import LimitTable

# More than any data plane has processes times routes times lines that changed within an hour.
BREAKERS_READ = 200
# A degrade's key: the minute's epoch seconds, then route, line, to and reason, none longer than a route's name may be.
MINUTE_DIGITS, WORDS, LONGEST_WORD, LONGEST_COUNT = 10, 4, 63, 18
ITEMS_PER_READ = 100  # BatchGetItem's own limit


class BotoLimitStore:
    """`LimitStore` for one table."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def reserve(
        self,
        tenant: str,
        limits: Mapping[str, Any],
        *,
        input_tokens: int,
        output_tokens: int,
        at: datetime,
        allowance: LineAllowance | None = None,
    ) -> Held | Full:
        """See LimitStore.reserve."""
        counters = _counters(limits, [allowance] if allowance else [], at)
        try:
            made = self._of(tenant).reserve(counters, Tokens(input_tokens, output_tokens), at.timestamp())
        except LimitExceeded as full:
            told = reports.Reporter(self._client, self._table, tenant)
            # Whoever asked here for a line whose allowance is used goes to the next one; which that is, it knows alone.
            line, to = (full.line, "next") if full.line else ("any", reports.REFUSED)
            told.degraded("rest", line, to, full.code, at.timestamp())
            told.tell()
            return Full(full.detail, full.retry_after_seconds, full.line)
        except InvalidRequest as never:
            return Full(never.detail, None)
        except LimitsUnavailable as away:
            raise _translated(away) from away
        over = tuple((each.meter, each.window) for each in made.over)
        return Held(made.id, datetime.fromtimestamp(made.expires_at, UTC), over)

    def settle(self, tenant: str, reservation: str, *, input_tokens: int, output_tokens: int) -> bool | None:
        """See LimitStore.settle."""
        table = self._of(tenant)
        try:
            found = table.find(reservation)
            return table.settle(found, Tokens(input_tokens, output_tokens)) if found is not None else None
        except LimitsUnavailable as away:
            raise _translated(away) from away

    def use(
        self, tenant: str, limits: Mapping[str, Any], at: datetime, allowances: Sequence[LineAllowance] = ()
    ) -> list[WindowUse]:
        """See LimitStore.use."""
        counters = _counters(limits, allowances, at)
        if not counters:
            return []
        try:
            used = self._of(tenant).used(each.key for each in counters)
        except LimitsUnavailable as away:
            raise _translated(away) from away
        return [_window_use(each, used[each.key]) for each in counters]

    def levels(self, watched: Sequence[Watched], at: datetime) -> list[Level]:
        """See LimitStore.levels."""
        hours = [at - timedelta(hours=1), at]
        counters = [_counters(each.limits, each.allowances, at) for each in watched]
        wanted = {(each.tenant, counter.key) for each, own in zip(watched, counters, strict=True) for counter in own}
        aways = [
            {reports.away_key(hour.timestamp(), line): (line, hour) for line in ("", *each.lines) for hour in hours}
            for each in watched
        ]
        wanted |= {(each.tenant, key) for each, own in zip(watched, aways, strict=True) for key in own}
        wanted |= {(each.tenant, reports.DEGRADED) for each in watched}
        found = self._read(sorted(wanted))
        return [
            Level(
                [_window_use(counter, found.get((each.tenant, counter.key), 0)) for counter in own],
                [
                    TurnedAway(line, hour.replace(minute=0, second=0, microsecond=0), found[each.tenant, key])
                    for key, (line, hour) in away.items()
                    if (each.tenant, key) in found
                ],
                found.get((each.tenant, reports.DEGRADED), 0),
            )
            for each, own, away in zip(watched, counters, aways, strict=True)
        ]

    def _read(self, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """What counting items stand at, of those that are there."""
        found: dict[tuple[str, str], int] = {}
        waiting = [{"tenant": {"S": tenant}, "item": {"S": item}} for tenant, item in wanted]
        while waiting:
            keys, waiting = waiting[:ITEMS_PER_READ], waiting[ITEMS_PER_READ:]
            asked = {self._table: {"Keys": keys}}
            reply = call(self._client.batch_get_item, "BatchGetItem", "Responses", RequestItems=asked)
            for item in reply["Responses"].get(self._table, []):
                count = _count(item)
                if count is not None:
                    found[item["tenant"]["S"], item["item"]["S"]] = count
            waiting += reply.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
        return found

    def count(self, tenant: str) -> int:
        """See LimitStore.count."""
        return count_partition(self._client, self._table, tenant)

    def degrades(self, tenant: str, *, limit: int = 50) -> list[DegradeCount]:
        """See LimitStore.degrades."""
        latest_first = {"Limit": limit, "ScanIndexForward": False}
        items = self._items(tenant, "begins_with(#i, :p)", _prefix(reports.DEGRADE), **latest_first)
        return list(_degrades(items))

    def degrades_since(self, tenant: str, since: datetime, *, limit: int) -> list[DegradeCount]:
        """See LimitStore.degrades_since."""
        minute = int(since.timestamp()) // reports.MINUTE_SECONDS * reports.MINUTE_SECONDS
        # `$` is the character after `#`: no key of a degrade comes after it.
        between = {":p": {"S": f"{reports.DEGRADE}#{minute:010d}"}, ":q": {"S": f"{reports.DEGRADE}$"}}
        items = self._items(tenant, "#i BETWEEN :p AND :q", between, Limit=limit, ConsistentRead=True)
        return list(_degrades(items))

    def breakers(self, tenant: str) -> list[BreakerSighting]:
        """See LimitStore.breakers. DynamoDB's TTL may be a day late, so what is stale is left out here."""
        found = []
        for item in self._items(tenant, "begins_with(#i, :p)", _prefix(reports.BREAKER), Limit=BREAKERS_READ):
            _, route, line, process = item["item"]["S"].split("#")
            if int(item["expires_at"]["N"]) > time.time():
                since = datetime.fromtimestamp(int(item["at"]["N"]), UTC)
                found.append(BreakerSighting(route, line, process, item["state"]["S"], item["reason"]["S"], since))
        return found

    def _items(self, tenant: str, which: str, values: Mapping[str, Any], **how: Any) -> list[dict[str, Any]]:
        reply = call(
            self._client.query,
            "Query",
            "Items",
            TableName=self._table,
            KeyConditionExpression=f"tenant = :t AND {which}",
            ExpressionAttributeNames={"#i": "item"},
            ExpressionAttributeValues={":t": {"S": tenant}, **values},
            **how,
        )
        items: list[dict[str, Any]] = reply["Items"]
        return items

    def erase(self, tenant: str) -> int:
        """See LimitStore.erase."""
        return erase_partition(self._client, self._table, tenant)

    def _of(self, tenant: str) -> LimitTable:
        return LimitTable(self._client, self._table, tenant)


def _counters(limits: Mapping[str, Any], allowances: Sequence[LineAllowance], at: datetime) -> list[Counter]:
    """The counters of a tenant's own limits, and of what it may use of its lines."""
    own = budgets_of(limits)
    of_lines = Budgets(
        tuple(Limit("total_tokens", each.window, each.amount, HARD, each.line) for each in allowances), own.timezone
    )
    return [*own.counters(at.timestamp()), *of_lines.counters(at.timestamp())]


def _count(item: Mapping[str, Any]) -> int | None:
    """What a counting item stands at; None for one that does not count, which no kit writes."""
    told = str((item.get("used") or item.get("times") or {}).get("N", ""))
    is_count = told.removeprefix("-").isdecimal() and len(told) <= LONGEST_COUNT
    return int(told) if is_count else None


def _prefix(kind: str) -> dict[str, Any]:
    return {":p": {"S": f"{kind}#"}}


def _degrades(items: Iterable[Mapping[str, Any]]) -> Iterator[DegradeCount]:
    """What items tell. Data planes may write what they like into their own partition: what no kit writes is left out,
    so that one tenant's cannot stop the reading of all."""
    for item in items:
        _, minute, *words = item["item"]["S"].split("#")
        times = _count(item)
        fits = len(words) == WORDS and all(0 < len(word) <= LONGEST_WORD for word in words)
        if fits and times is not None and times > 0 and len(minute) == MINUTE_DIGITS and minute.isdecimal():
            route, line, to, reason = words
            yield DegradeCount(datetime.fromtimestamp(int(minute), UTC), route, line, to, reason, times)


def _window_use(counter: Counter, used: int) -> WindowUse:
    limit = counter.limit
    return WindowUse(
        meter=limit.meter,
        window=limit.window,
        mode=limit.mode,
        amount=limit.amount,
        used=used,
        starts_at=datetime.fromtimestamp(counter.start, UTC),
        ends_at=datetime.fromtimestamp(counter.end, UTC),
        line=limit.line,
    )


def _translated(away: LimitsUnavailable) -> errors.Retryable:
    kind = errors.Throttled if isinstance(away, LimitsBusy) else errors.Unreachable
    return kind(code=away.code, message=away.detail, operation="TransactWriteItems")
