"""Values as people read them: numbers, money, sizes, times. What is rounded shows the exact value on hover."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_datetime, format_timedelta
from babel.numbers import format_compact_decimal, format_currency, format_decimal, format_percent
from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing.rating.words import price_words, rate_words
from core import clock, money
from metering.meters import METERS

register = template.Library()

LOCALE = "en"
NOTHING = "–"
_BYTE_UNITS = ("B", "KB", "MB", "GB", "TB")
_JUST_NOW = timedelta(seconds=5)


@register.filter
def number(value: Decimal | int | None) -> str:
    """`12345678` as `12,345,678`; a dash for nothing."""
    return NOTHING if value is None else format_decimal(value, locale=LOCALE)


@register.filter
def quantity(value: Decimal | int | None) -> str:
    """A billed quantity: grouped, without the zeros that a database column adds behind the point."""
    return NOTHING if value is None else format_decimal(value, format="#,##0.######", locale=LOCALE)


@register.filter
def compact(value: Decimal | int | None) -> SafeString | str:
    """`12345678` as `12.3M`, with the exact number on hover."""
    if value is None:
        return NOTHING
    short = format_compact_decimal(value, fraction_digits=1 if abs(Decimal(value)) >= 1000 else 0, locale=LOCALE)
    return format_html('<span title="{}">{}</span>', number(value), short)


@register.filter(name="money")
def money_of(amount: Decimal | None, currency: str) -> str:
    """An amount on the currency's smallest unit, such as `$1,204.50` or `¥1,205`."""
    if amount is None:
        return NOTHING
    return format_currency(money.round_money(Decimal(amount), currency), currency, locale=LOCALE)


@register.filter
def price(amount: Decimal | None, currency: str) -> str:
    """A unit price with every digit it has: `$0.0000027` must not become `$0.00`."""
    if amount is None:
        return NOTHING
    return price_words(Decimal(amount), currency)


@register.filter
def filesize(value: int | None) -> str:
    """Bytes in decimal units, as AWS bills them: `41.2 MB`."""
    if value is None:
        return NOTHING
    size, unit = float(value), 0
    while size >= 1000 and unit < len(_BYTE_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.1f} {_BYTE_UNITS[unit]}" if unit else f"{int(size)} B"


@register.filter
def duration(value: timedelta | float | None) -> str:
    """Seconds or a timedelta as `0.4 s`, `2:08`, `3:02:08` or, from two days on, `5 d 3 h`."""
    if value is None:
        return NOTHING
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 10:
        return f"{seconds:.1f} s"
    hours, rest = divmod(int(seconds), 3600)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


@register.filter
def day(value: datetime | None, timezone: str = "UTC") -> str:
    """The calendar day in a time zone, such as `20 Nov 2026`."""
    return NOTHING if value is None else format_datetime(value, "d MMM y", tzinfo=ZoneInfo(timezone), locale=LOCALE)


@register.filter
def last_day(value: datetime | None, timezone: str = "UTC") -> str:
    """The last calendar day of a half-open period that ends at `value`: people say 1–30 November."""
    return NOTHING if value is None else day(value - timedelta(seconds=1), timezone)


@register.filter
def decimal(value: str | None) -> Decimal | None:
    """A number that JSON kept as text, as a number again."""
    return None if value in (None, "") else Decimal(str(value))


@register.filter
def minus(value: Decimal) -> Decimal:
    """The other way round, for sentences that say the direction in words."""
    return -value


@register.filter
def percent(share: str) -> str:
    """A share that JSON kept as text, such as `0.1`, as `10%`."""
    return format_percent(Decimal(share), format="#,##0.##%", locale=LOCALE)


@register.filter
def parts_per_million(value: int) -> str:
    """Parts per million as people say them: `1000` as `0.1%`."""
    return format_percent(Decimal(value) / 1_000_000, format="#,##0.####%", locale=LOCALE)


@register.filter
def rate_terms(rate: Any, currency: str) -> str:
    """What a rate costs in words; `rate` is a row of a card or what an invoice line kept of one."""
    if isinstance(rate, dict):
        return rate_words(rate["model"], rate["parameters"], currency)
    return rate_words(rate.model, rate.parameters, currency)


@register.filter
def meter_title(key: str) -> str:
    """What a meter is called; its key where it is none of ours."""
    return METERS[key].title if key in METERS else key


@register.filter
def metered(quantity: Decimal | int, key: str) -> str:
    """A quantity with its meter and unit, such as `Busy time: 2,207 milliseconds`."""
    if key not in METERS:
        return f"{key}: {number(quantity)}"
    meter = METERS[key]
    return f"{meter.title}: {number(quantity)} {meter.unit}{'' if quantity == 1 else 's'}"


@register.filter
def moment(value: datetime | None, timezone: str = "UTC") -> str:
    """The minute in a time zone, such as `20 Nov 2026, 11:42`."""
    if value is None:
        return NOTHING
    return format_datetime(value, "d MMM y, HH:mm", tzinfo=ZoneInfo(timezone), locale=LOCALE)


@register.simple_tag
def when(value: datetime | None) -> SafeString | str:
    """A moment in UTC, with the distance from now on hover and for screen readers."""
    if value is None:
        return NOTHING
    return format_html(
        '<time datetime="{}" title="{}">{} UTC</time>',
        value.astimezone(UTC).isoformat(),
        _distance(value),
        moment(value),
    )


@register.simple_tag
def ago(value: datetime | None) -> SafeString | str:
    """`3m ago`, with the exact moment on hover."""
    if value is None:
        return NOTHING
    exact = format_datetime(value, "d MMM y, HH:mm:ss", tzinfo=UTC, locale=LOCALE)
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>', value.astimezone(UTC).isoformat(), exact, _distance(value)
    )


def _distance(value: datetime) -> str:
    apart = value - clock.now()
    if abs(apart) < _JUST_NOW:
        return "just now"
    return format_timedelta(apart, add_direction=True, format="short", locale=LOCALE)


@register.filter
def measured(value: object) -> str:
    """An evaluation result: a float without the tail that binary fractions have."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@register.filter
def event_words(name: str) -> str:
    """`tenant.provisioning_failed` as `Tenant provisioning failed`."""
    words = name.replace(".", " ").replace("_", " ").replace("api key", "API key")
    return words[:1].upper() + words[1:]


@register.filter
def json_text(value: object) -> str:
    """A JSON value over several lines, for reading."""
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
