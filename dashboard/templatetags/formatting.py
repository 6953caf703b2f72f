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

from core import clock, money

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
    digits = max(money.exponent(currency), -int(Decimal(amount).normalize().as_tuple().exponent))
    pattern = "¤#,##0" + ("." + "0" * digits if digits else "")
    return format_currency(Decimal(amount), currency, format=pattern, currency_digits=False, locale=LOCALE)


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
    """Seconds or a timedelta as `0.4 s`, `2:08` or `3:02:08`."""
    if value is None:
        return NOTHING
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 10:
        return f"{seconds:.1f} s"
    hours, rest = divmod(int(seconds), 3600)
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
def rate_terms(rate: Any, currency: str) -> str:
    """What a rate costs in words: `$0.10 per 1M`, `5M included, then $0.50 per 1M up to 20M, $0.40 per 1M above`."""
    given = rate["parameters"] if isinstance(rate, dict) else rate.parameters
    model = rate["model"] if isinstance(rate, dict) else rate.model
    per = f" per {_short(given['per'])}" if given.get("per", 1) != 1 else " each"
    if "bands" in given:
        text = ", ".join(_band(band, per, currency) for band in given["bands"])
        return f"{_short(given['included'])} included, then {text}" if "included" in given else text
    if "unit_price" in given:
        return price(Decimal(given["unit_price"]), currency) + per
    if "price" in given:
        return f"{price(Decimal(given['price']), currency)} per hour"
    if "amount" in given:
        least = "at least " if model == "minimum_commitment" else ""
        return f"{least}{price(Decimal(given['amount']), currency)} per month"
    return ", ".join(f"{name} {value}" for name, value in given.items())


def _band(band: dict[str, Any], per: str, currency: str) -> str:
    limit = "above" if band["up_to"] is None else f"up to {_short(band['up_to'])}"
    return f"{price(Decimal(band['unit_price']), currency)}{per} {limit}"


def _short(value: Any) -> str:
    return format_compact_decimal(Decimal(value), fraction_digits=1, locale=LOCALE)


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
