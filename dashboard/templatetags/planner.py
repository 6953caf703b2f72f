"""Values of the planner: whole dollars, and changes with their sign."""

from decimal import Decimal

from django import template

register = template.Library()

NOTHING, MINUS = "–", "\N{MINUS SIGN}"


@register.filter
def usd(value: Decimal | str | None) -> str:
    """A yearly cost in whole dollars, such as `$49,004`: cents would promise what a plan cannot keep."""
    return NOTHING if value in (None, "") else f"${Decimal(str(value)):,.0f}"


@register.filter
def usd_change(value: Decimal) -> str:
    """A change in whole dollars with its sign; `±$0` when nothing moves."""
    rounded = round(value)
    sign = "+" if rounded > 0 else MINUS if rounded < 0 else "±"
    return f"{sign}${abs(rounded):,}"


@register.filter
def signed(value: int) -> str:
    """A whole number with its sign; `±0` when nothing moves."""
    return f"+{value}" if value > 0 else f"{MINUS}{-value}" if value < 0 else "±0"
