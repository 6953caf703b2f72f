"""Prices as people read them, the same on a page and over REST: what a rate costs in one sentence; pure."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from babel.numbers import format_compact_decimal, format_currency

from core import money

LOCALE = "en"


def price_words(amount: Decimal, currency: str) -> str:
    """A unit price with every digit it has: `$0.0000027` must not become `$0.00`."""
    digits = max(money.exponent(currency), -int(amount.normalize().as_tuple().exponent))
    pattern = "¤#,##0" + ("." + "0" * digits if digits else "")
    return format_currency(amount, currency, format=pattern, currency_digits=False, locale=LOCALE)


def rate_words(model: str, given: Mapping[str, Any], currency: str) -> str:
    """What the parameters of a rate say: `$0.10 per 1M`, `5M included, then $0.50 per 1M up to 20M, …`.

    `given` are parameters that fit their model, as a card keeps them.
    """

    def money_of(name: str) -> str:
        return price_words(Decimal(given[name]), currency)

    per = f" per {_short(given['per'])}" if given.get("per", 1) != 1 else " each"
    match model:
        case "flat":
            return f"{money_of('amount')} per month"
        case "minimum_commitment":
            return f"at least {money_of('amount')} per month"
        case "per_unit":
            return money_of("unit_price") + per
        case "hourly":
            return f"{money_of('price')} per hour"
        case "monthly":
            return f"{money_of('price')} per month in service"
        case "package":
            return f"{money_of('price')} per {_short(given['size'])} begun"
    bands = ", ".join(_band(band, per, currency) for band in given["bands"])
    if model == "allowance":
        return f"{_short(given['included'])} included, then {bands}"
    return f"{bands}; the whole at its band's price" if model == "volume" and len(given["bands"]) > 1 else bands


def _band(band: Mapping[str, Any], per: str, currency: str) -> str:
    price = price_words(Decimal(band["unit_price"]), currency) + per
    return f"{price} above" if band["up_to"] is None else f"{price} up to {_short(band['up_to'])}"


def _short(value: Any) -> str:
    return str(format_compact_decimal(Decimal(value), fraction_digits=1, locale=LOCALE))
