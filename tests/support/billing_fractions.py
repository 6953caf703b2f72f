"""Every pricing model, discounts, tax and prepaid credit worked out in fractions, from plain JSON and numbers.

Imports nothing of the product. It walks unit by unit through bands, where the product multiplies; it adds shares of
discounts line by line; it pays from grants one by one: wrong in other ways than the product, if at all.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

DIGITS = {"USD": 2, "JPY": 0, "KWD": 3}


def half_up(exact: Fraction, currency: str) -> Fraction:
    """To the currency's unit; half away from zero."""
    unit = 10 ** DIGITS[currency]
    size = Fraction(floor(abs(exact) * unit + Fraction(1, 2)), unit)
    return size if exact >= 0 else -size


def down(exact: Fraction, currency: str) -> Fraction:
    """Towards zero."""
    unit = 10 ** DIGITS[currency]
    size = Fraction(floor(abs(exact) * unit), unit)
    return size if exact >= 0 else -size


def price(model: str, terms: dict, quantity: int, seconds: int, of: int) -> Fraction:
    """The exact price of a quantity over `seconds` of a month of `of` seconds."""
    share = Fraction(seconds, of)

    def limit(units: int) -> int:
        return units if seconds == of else ceil(units * share)

    def climb(amount: int, bands: list[dict]) -> Fraction:
        cost, below = Fraction(0), 0
        for band in bands:
            top = amount if band["up_to"] is None else min(amount, limit(band["up_to"]))
            cost += max(0, top - below) * Fraction(band["unit_price"])
            below = max(below, top)
        return cost

    if model == "flat":
        return Fraction(terms["amount"]) * share
    if model == "per_unit":
        return quantity * Fraction(terms["unit_price"]) / terms["per"]
    if model == "hourly":
        return quantity * Fraction(terms["price"]) / 3600
    if model == "monthly":
        return quantity * Fraction(terms["price"]) / of
    if model == "package":
        return -(-quantity // terms["size"]) * Fraction(terms["price"])
    if model == "graduated":
        return climb(quantity, terms["bands"]) / terms["per"]
    if model == "volume":
        for band in terms["bands"]:
            if band["up_to"] is None or quantity <= limit(band["up_to"]):
                return quantity * Fraction(band["unit_price"]) / terms["per"]
    if model == "allowance":
        return climb(max(0, quantity - limit(terms["included"])), terms["bands"]) / terms["per"]
    raise ValueError(model)


@dataclass
class Charge:
    """A line: which rate, of which meter, taxed how."""

    key: str
    meter: str
    tax: str
    amount: Fraction


def split(total: Fraction, weights: list[Fraction], currency: str) -> list[Fraction]:
    """Largest remainder: everybody rounded down, then unit by unit to whom most was cut off."""
    unit = Fraction(1, 10 ** DIGITS[currency])
    exact = [total * weight / sum(weights) for weight in weights]
    parts = [floor(share / unit) * unit for share in exact]
    while sum(parts) < total:
        cut = [share - part for share, part in zip(exact, parts, strict=True)]
        parts[cut.index(max(cut))] += unit
    return parts


def take_off(charges: list[Charge], discounts: list[dict], currency: str) -> dict[tuple[int, str], Fraction]:
    """By number of the discount and tax category, what is taken off; whole-period discounts only."""
    left = [charge.amount for charge in charges]
    off: dict[tuple[int, str], Fraction] = {}
    for number, discount in enumerate(discounts):
        concerned = [
            (not discount["meters"] and not discount["keys"])
            or charge.meter in discount["meters"]
            or charge.key in discount["keys"]
            for charge in charges
        ]
        base = [amount if yes and amount > 0 else Fraction(0) for yes, amount in zip(concerned, left, strict=True)]
        if discount["kind"] == "percent":
            base = [amount * Fraction(discount["value"]) / 100 for amount in base]
            whole = half_up(sum(base, Fraction(0)), currency)
        else:
            whole = half_up(min(Fraction(discount["value"]), sum(base, Fraction(0))), currency)
        if not whole:
            continue
        for position, part in enumerate(split(whole, base, currency)):
            left[position] -= part
            if part:
                key = (number, charges[position].tax)
                off[key] = off.get(key, Fraction(0)) + part
    return off


def taxes(charges: list[Charge], off: dict[tuple[int, str], Fraction], rates: dict, currency: str) -> Fraction:
    """Once per rate, on what is left of its lines; `rates` holds (share, rounding) per category."""
    sums: dict[tuple, Fraction] = {}
    for charge in charges:
        terms = rates.get(charge.tax, rates.get("standard"))
        sums[terms] = sums.get(terms, Fraction(0)) + charge.amount
    for (_, category), amount in off.items():
        terms = rates.get(category, rates.get("standard"))
        sums[terms] -= amount
    rounded = {"half_up": half_up, "down": down}
    return sum((rounded[terms[1]](sums[terms] * terms[0], currency) for terms in sums if terms), Fraction(0))


def pay(total: Fraction, grants: list[tuple[int, Fraction]]) -> list[Fraction]:
    """What each grant (its day of expiry, its amount) pays, in the order given; the day first to come pays first."""
    paid = [Fraction(0)] * len(grants)
    for position in sorted(range(len(grants)), key=lambda at: (grants[at][0], at)):
        paid[position] = min(total, grants[position][1])
        total -= paid[position]
    return paid
