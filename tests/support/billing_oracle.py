"""What a month must cost, worked out a second time: from the trace's CSV and the price list written out here.

Imports nothing of the product, computes in fractions, and is as plain as a person with a pencil, so that it can be
wrong only in other ways than the product is.
"""

import csv
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from pathlib import Path

MILLION = 1_000_000
DIGITS = {"USD": 2, "JPY": 0}
TAX = {"USD": Fraction(0), "JPY": Fraction(10, 100)}


@dataclass(frozen=True)
class Trace:
    """What a trace asks for in all."""

    requests: int
    tokens_in: int
    tokens_out: int


def read_trace(path: Path) -> Trace:
    """Add up a CSV with TIMESTAMP,ContextTokens,GeneratedTokens."""
    requests = tokens_in = tokens_out = 0
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            requests += 1
            tokens_in += int(row["ContextTokens"])
            tokens_out += int(row["GeneratedTokens"])
    return Trace(requests, tokens_in, tokens_out)


def money(exact: Fraction, currency: str) -> Fraction:
    """Half up to the currency's smallest unit."""
    unit = 10 ** DIGITS[currency]
    return Fraction(floor(exact * unit + Fraction(1, 2)), unit)


def expected(
    tier: str,
    currency: str,
    *,
    tokens_in: int,
    tokens_out: int,
    endpoint_seconds: int = 0,
    month: Fraction = Fraction(1),
) -> dict[str, Fraction]:
    """The amounts of a tenant's invoice by line, then subtotal, tax and total; `month` is the share it was there."""
    lines = {
        "basic": lambda: _basic(currency, tokens_in, tokens_out, month),
        "advanced": lambda: _advanced(currency, tokens_in, tokens_out, month),
        "premium": lambda: _premium(currency, tokens_in, tokens_out, endpoint_seconds, month),
    }[tier]()
    amounts = {name: amount for name, amount in lines.items() if amount is not None}
    subtotal = sum(amounts.values(), Fraction(0))
    tax = money(subtotal * TAX[currency], currency)
    return {**amounts, "subtotal": subtotal, "tax": tax, "total": subtotal + tax}


def _basic(currency: str, tokens_in: int, tokens_out: int, month: Fraction) -> dict[str, Fraction | None]:
    fee, price_in, price_out = {
        "USD": (Fraction(29), Fraction(60, 100), Fraction(240, 100)),
        "JPY": (Fraction(4500), Fraction(90), Fraction(360)),
    }[currency]
    return {
        "Basic platform fee": money(fee * month, currency),
        "Input tokens": money(price_in * tokens_in / MILLION, currency) if tokens_in else None,
        "Output tokens": money(price_out * tokens_out / MILLION, currency) if tokens_out else None,
    }


def _advanced(currency: str, tokens_in: int, tokens_out: int, month: Fraction) -> dict[str, Fraction | None]:
    fee, low_in, high_in, low_out, high_out = {
        "USD": (Fraction(199), Fraction(50, 100), Fraction(40, 100), Fraction(2), Fraction(160, 100)),
        "JPY": (Fraction(30000), Fraction(75), Fraction(60), Fraction(300), Fraction(240)),
    }[currency]

    def overage(used: int, included: int, first: int, low: Fraction, high: Fraction) -> Fraction | None:
        free, step = -floor(-included * month), -floor(-first * month)
        over = max(used - free, 0)
        cheap = max(over - step, 0)
        return money((low * (over - cheap) + high * cheap) / MILLION, currency) if used else None

    return {
        "Advanced platform fee": money(fee * month, currency),
        "Input tokens": overage(tokens_in, 5 * MILLION, 20 * MILLION, low_in, high_in),
        "Output tokens": overage(tokens_out, 100_000, MILLION, low_out, high_out),
    }


def _premium(
    currency: str, tokens_in: int, tokens_out: int, endpoint_seconds: int, month: Fraction
) -> dict[str, Fraction | None]:
    hour, commitment, price_in, price_out = {
        "USD": (Fraction(195, 100), Fraction(900), Fraction(10, 100), Fraction(40, 100)),
        "JPY": (Fraction(290), Fraction(135000), Fraction(15), Fraction(60)),
    }[currency]
    hours = money(hour * endpoint_seconds / 3600, currency)
    missing = money(commitment * month, currency) - hours
    return {
        "Dedicated endpoint": hours if endpoint_seconds else None,
        "Minimum commitment for the dedicated endpoint": missing if missing > 0 else None,
        "Input tokens": money(price_in * tokens_in / MILLION, currency) if tokens_in else None,
        "Output tokens": money(price_out * tokens_out / MILLION, currency) if tokens_out else None,
    }
