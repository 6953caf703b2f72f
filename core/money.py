"""Money is a Decimal with an ISO 4217 currency, rounded once, at the line."""

from decimal import ROUND_HALF_UP, Context, Decimal

# Minor-unit digits of the currencies that do not have two (ISO 4217, list one of 2025-05-12).
_NO_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND"
_EXPONENTS = dict.fromkeys(_NO_DECIMALS.split(" "), 0) | dict.fromkeys(_THREE_DECIMALS.split(" "), 3)
# The smallest unit by its digits, and digits enough for every product that is rounded to it.
_UNITS = {digits: Decimal(1).scaleb(-digits) for digits in (0, 2, 3)}
_WIDE = Context(prec=80)


def exponent(currency: str) -> int:
    """How many digits the currency has after the point: 0 for JPY, 2 for USD, 3 for KWD."""
    return _EXPONENTS.get(currency, 2)


def round_money(amount: Decimal, currency: str, rounding: str = ROUND_HALF_UP) -> Decimal:
    """`amount` on the currency's smallest unit; half away from zero unless a rule names another mode."""
    return amount.quantize(_UNITS[_EXPONENTS.get(currency, 2)], rounding, _WIDE)


def minor_units(amount: Decimal, currency: str) -> int:
    """A rounded amount as a whole number of the smallest unit (cents, yen, fils).

    Raises ValueError when the amount still carries digits below it, because those must have been rounded at the line.
    """
    scaled = amount.scaleb(exponent(currency))
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{amount} {currency} has digits below the smallest unit")
    return int(scaled)
