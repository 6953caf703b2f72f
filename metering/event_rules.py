"""What a usage event must look like; pure, and written for a thousand at a time: a few microseconds for each."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec

from metering.meters import EVENT_METERS, FIRST_INEXACT

MOST_EVENTS = 1000
# As long as a billing month and its grace, so that a month of events may be sent before its invoice is drafted; and as
# much as clocks may be off. The same limits as Stripe's meter events have.
LATEST_AFTER = timedelta(days=35)
AHEAD = timedelta(minutes=5)

FIELDS = frozenset({"id", "tenant", "meter", "line", "adapter_version", "quantity", "occurred_at"})
NAMES = ("tenant", "meter", "line", "adapter_version")
ID = r"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,63}"
INSTANT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-](0[0-9]|1[0-5]):[0-5][0-9])"
_ID = re.compile(ID).fullmatch
_INSTANT = re.compile(INSTANT).fullmatch


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """What an event counts towards, as its sender names it. `tenant` is None for the one of the key that sends it."""

    tenant: str | None
    meter: str
    line: str
    adapter_version: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the event at `index` was not taken; `field` is what to look at."""

    index: int
    field: str
    code: str
    detail: str


@dataclass(slots=True)
class ReadEvents:
    """Events that are well-formed, as columns in the order they came, and the refused ones."""

    indexes: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    series: list[int] = field(default_factory=list)
    instants: list[str] = field(default_factory=list)
    quantities: list[int] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


class _Event(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """An event that is well-formed but for what only `read_events` knows."""

    id: Annotated[str, msgspec.Meta(pattern=rf"\A{ID}\Z")]
    meter: str
    line: str
    adapter_version: str
    quantity: Annotated[int, msgspec.Meta(gt=0, lt=FIRST_INEXACT)]
    occurred_at: Annotated[str, msgspec.Meta(pattern=rf"\A{INSTANT}\Z")]
    tenant: str | None = None


class Refused(ValueError):
    """One event's fault."""

    def __init__(self, name: str, code: str, detail: str) -> None:
        super().__init__(detail)
        self.field, self.code, self.detail = name, code, detail


def series_key(event: Mapping[str, Any]) -> SeriesKey:
    """What an event names, checked as far as that can be done without asking anybody. Raises Refused."""
    for name in NAMES:
        if not isinstance(event.get(name), str) and (name != "tenant" or event.get(name) is not None):
            raise Refused(name, "wrong_type", f"{name} must be a string.")
    if event["meter"] not in EVENT_METERS:
        known = ", ".join(sorted(EVENT_METERS))
        raise Refused("meter", "meter_unknown", f"Events are taken for these meters: {known}.")
    return SeriesKey(event.get("tenant"), event["meter"], event["line"], event["adapter_version"])


def read_events(events: Sequence[Any], *, now: datetime, resolve: Callable[[SeriesKey], int | Refused]) -> ReadEvents:
    """Check every event. `resolve` says which series a key is, or why it is none; it is asked once per key.

    Nothing is raised for an event: what is wrong with it is in `refusals`.
    """
    known: dict[Any, int | Refused] = {}
    return _read_at_once(events, now, resolve, known) or _read_one_by_one(events, now, resolve, known)


def _read_at_once(
    events: Sequence[Any], now: datetime, resolve: Callable[[SeriesKey], int | Refused], known: dict[Any, int | Refused]
) -> ReadEvents | None:
    """A batch without a fault, which nearly every one is; None when there is one: it is then looked for."""
    try:
        read = msgspec.convert(events, list[_Event])
        instants = [datetime.fromisoformat(event.occurred_at) for event in read]
        if not now - LATEST_AFTER <= min(instants) <= max(instants) <= now + AHEAD:
            return None
        named = [(event.tenant, event.meter, event.line, event.adapter_version) for event in read]
        for names in dict.fromkeys(named):
            known[names] = resolve(series_key(dict(zip(NAMES, names, strict=True))))
    except (ValueError, OverflowError, msgspec.ValidationError):
        return None
    series = [found for found in map(known.__getitem__, named) if isinstance(found, int)]
    if len(series) < len(read):
        return None
    return ReadEvents(
        indexes=list(range(len(read))),
        ids=[event.id for event in read],
        series=series,
        instants=[event.occurred_at for event in read],
        quantities=[event.quantity for event in read],
    )


def _read_one_by_one(
    events: Sequence[Any], now: datetime, resolve: Callable[[SeriesKey], int | Refused], known: dict[Any, int | Refused]
) -> ReadEvents:
    earliest, latest = now - LATEST_AFTER, now + AHEAD
    found = ReadEvents()
    for index, event in enumerate(events):
        try:
            if type(event) is not dict:
                raise Refused("", "wrong_type", "An event is an object.")
            if not event.keys() <= FIELDS:
                raise Refused("", "unknown_field", f"An event has no other fields than {', '.join(sorted(FIELDS))}.")
            id_, instant, quantity = event.get("id"), event.get("occurred_at"), event.get("quantity")
            if type(id_) is not str or not _ID(id_):
                raise Refused("id", "id_invalid", "id must be 1 to 64 letters, digits and ._:/+=-.")
            if type(quantity) is not int or not 0 < quantity < FIRST_INEXACT:
                raise Refused("quantity", "quantity_invalid", "quantity must be a whole number from 1 to 2^53 - 1.")
            if type(instant) is not str or not _INSTANT(instant):
                raise Refused("occurred_at", "instant_invalid", "occurred_at must be RFC 3339 with its offset.")
            at = datetime.fromisoformat(instant)
            if not earliest <= at <= latest:
                raise _outside(at, earliest)
            named = (event.get("tenant"), event.get("meter"), event.get("line"), event.get("adapter_version"))
            series = known.get(named)
            if series is None:
                series = known[named] = resolve(series_key(event))
            if type(series) is not int:
                assert isinstance(series, Refused)
                raise series
        except Refused as fault:
            found.refusals.append(Refusal(index, fault.field, fault.code, fault.detail))
        except (ValueError, OverflowError):
            found.refusals.append(Refusal(index, "occurred_at", "instant_invalid", "There is no such instant."))
        except TypeError:
            found.refusals.append(Refusal(index, "", "wrong_type", "tenant, meter and the like must be strings."))
        else:
            found.indexes.append(index)
            found.ids.append(id_)
            found.series.append(series)
            found.instants.append(instant)
            found.quantities.append(quantity)
    return found


def shown_id(event: Any) -> str | None:
    """The id of an event as it can be said again; None for one that is no id."""
    id_ = event.get("id") if isinstance(event, dict) else None
    return id_ if isinstance(id_, str) and _ID(id_) else None


def _outside(at: datetime, earliest: datetime) -> Refused:
    if at < earliest:
        return Refused("occurred_at", "event_too_late", f"Events are taken up to {LATEST_AFTER.days} days late.")
    minutes = int(AHEAD.total_seconds() // 60)
    return Refused("occurred_at", "event_in_future", f"An event may lie at most {minutes} minutes ahead.")
