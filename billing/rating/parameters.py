"""What each pricing model needs to know, parsed once from JSON and refused with a pointer when it is wrong.

Numbers are strings in JSON, because a float cannot hold a price. Prices go down to twelve digits after the point,
so that a price per 1,000,000 tokens still multiplies out exactly.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from core.errors import FieldError, Invalid

PER_CHOICES = (1, 1_000, 1_000_000, 1_000_000_000)
MAX_PRICE = Decimal(10) ** 12
MAX_DIGITS_AFTER_POINT = 12
MAX_QUANTITY = 10**24
MAX_BANDS = 50


class InvalidParameters(Invalid):
    """The parameters of a rate do not fit its pricing model; `errors` points at each wrong one."""

    code = "invalid_rate_parameters"
    title = "Invalid rate parameters"


@dataclass(frozen=True, slots=True)
class Flat:
    """`amount` per billing month; a shorter stay pays its share."""

    amount: Decimal


@dataclass(frozen=True, slots=True)
class PerUnit:
    """`unit_price` for every `per` units."""

    unit_price: Decimal
    per: int


@dataclass(frozen=True, slots=True)
class Band:
    """One step of a ladder of prices: it reaches up to and including `up_to` units, the last one has no end."""

    up_to: int | None
    unit_price: Decimal


@dataclass(frozen=True, slots=True)
class Graduated:
    """Every unit costs what its own band says."""

    per: int
    bands: tuple[Band, ...]


@dataclass(frozen=True, slots=True)
class Volume:
    """Every unit costs what the band of the whole quantity says."""

    per: int
    bands: tuple[Band, ...]


@dataclass(frozen=True, slots=True)
class Package:
    """Whole packages of `size` units at `price` each; a begun package counts."""

    size: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class Allowance:
    """`included` units per billing month cost nothing; what goes beyond is graduated, counted from the allowance."""

    included: int
    per: int
    bands: tuple[Band, ...]


@dataclass(frozen=True, slots=True)
class Hourly:
    """`price` per hour of a meter that counts seconds; a part of an hour costs its part."""

    price: Decimal


@dataclass(frozen=True, slots=True)
class Monthly:
    """`price` per billing month of a meter that counts seconds: two adapters for half a month each make one month."""

    price: Decimal


@dataclass(frozen=True, slots=True)
class MinimumCommitment:
    """At least `amount` per billing month for `meters` together; the difference is its own line."""

    amount: Decimal
    meters: tuple[str, ...]


Parameters = Flat | PerUnit | Graduated | Volume | Package | Allowance | Hourly | Monthly | MinimumCommitment

METERED = (PerUnit, Graduated, Volume, Package, Allowance, Hourly, Monthly)
# What is priced by the time that a meter of seconds counted.
TIMED = (Hourly, Monthly)
RATE_MODELS = (
    "flat", "per_unit", "graduated", "volume", "package", "allowance", "hourly", "monthly", "minimum_commitment",
)  # fmt: skip


class _Reader:
    """Reads one JSON object field by field and collects what is wrong, so that all of it is told at once."""

    def __init__(self, raw: Mapping[str, object], allowed: Sequence[str]) -> None:
        self.raw = raw
        self.errors: list[FieldError] = []
        for name in raw:
            if name not in allowed:
                self._refuse(f"/{name}", "unknown", f"unknown parameter; expected {', '.join(allowed)}")

    def _refuse(self, pointer: str, code: str, detail: str) -> None:
        self.errors.append(FieldError(pointer, code, detail))

    def price(self, source: Mapping[str, object], name: str, prefix: str = "") -> Decimal:
        pointer, value = f"{prefix}/{name}", source.get(name)
        if not isinstance(value, str):
            self._refuse(pointer, "required" if value is None else "not_a_string", 'a price is a string such as "0.40"')
            return Decimal(0)
        try:
            amount = Decimal(value)
        except InvalidOperation:
            self._refuse(pointer, "not_a_number", f"{value!r} is not a decimal number")
            return Decimal(0)
        exponent = amount.as_tuple().exponent
        if not isinstance(exponent, int):
            self._refuse(pointer, "not_a_number", f"{value!r} is not a finite number")
        elif amount < 0 or amount > MAX_PRICE:
            self._refuse(pointer, "out_of_range", f"a price is between 0 and {MAX_PRICE:f}")
        elif -exponent > MAX_DIGITS_AFTER_POINT:
            self._refuse(pointer, "too_precise", f"at most {MAX_DIGITS_AFTER_POINT} digits after the point")
        else:
            return amount
        return Decimal(0)

    def count(self, source: Mapping[str, object], name: str, prefix: str = "", *, least: int = 0) -> int:
        pointer, value = f"{prefix}/{name}", source.get(name)
        if isinstance(value, bool) or not isinstance(value, int):
            self._refuse(pointer, "required" if value is None else "not_an_integer", "a quantity is a whole number")
            return least
        if not least <= value <= MAX_QUANTITY:
            self._refuse(pointer, "out_of_range", f"a quantity is between {least} and 10^24")
            return least
        return value

    def per(self) -> int:
        value = self.raw.get("per")
        if isinstance(value, bool) or value not in PER_CHOICES:
            self._refuse("/per", "invalid_choice", f"one of {', '.join(map(str, PER_CHOICES))}")
            return 1
        return int(str(value))

    def bands(self) -> tuple[Band, ...]:
        raw = self.raw.get("bands")
        if not isinstance(raw, list) or not raw or len(raw) > MAX_BANDS:
            self._refuse("/bands", "required", f"a list of 1 to {MAX_BANDS} bands")
            return ()
        bands, below = [], 0
        for position, item in enumerate(raw):
            prefix, last = f"/bands/{position}", position == len(raw) - 1
            if not isinstance(item, dict) or set(item) != {"up_to", "unit_price"}:
                self._refuse(prefix, "invalid", "a band has exactly up_to and unit_price")
                continue
            price = self.price(item, "unit_price", prefix)
            if item["up_to"] is None:
                if not last:
                    self._refuse(f"{prefix}/up_to", "invalid", "only the last band is open")
                bands.append(Band(None, price))
                continue
            up_to = self.count(item, "up_to", prefix, least=1)
            if last:
                self._refuse(f"{prefix}/up_to", "invalid", "the last band is open: up_to is null")
            elif up_to <= below:
                self._refuse(f"{prefix}/up_to", "not_ascending", f"must be above {below}")
            bands.append(Band(up_to, price))
            below = up_to
        return tuple(bands)

    def meters(self) -> tuple[str, ...]:
        raw = self.raw.get("meters")
        if not isinstance(raw, list) or not raw or not all(isinstance(meter, str) and meter for meter in raw):
            self._refuse("/meters", "required", "a list of at least one meter")
            return ()
        if len(set(raw)) != len(raw):
            self._refuse("/meters", "repeated", "a meter is named once")
        return tuple(raw)


_READERS: dict[str, tuple[tuple[str, ...], Callable[[_Reader], Parameters]]] = {
    "flat": (("amount",), lambda r: Flat(r.price(r.raw, "amount"))),
    "per_unit": (("unit_price", "per"), lambda r: PerUnit(r.price(r.raw, "unit_price"), r.per())),
    "graduated": (("per", "bands"), lambda r: Graduated(r.per(), r.bands())),
    "volume": (("per", "bands"), lambda r: Volume(r.per(), r.bands())),
    "package": (("size", "price"), lambda r: Package(r.count(r.raw, "size", least=1), r.price(r.raw, "price"))),
    "allowance": (("included", "per", "bands"), lambda r: Allowance(r.count(r.raw, "included"), r.per(), r.bands())),
    "hourly": (("price",), lambda r: Hourly(r.price(r.raw, "price"))),
    "monthly": (("price",), lambda r: Monthly(r.price(r.raw, "price"))),
    "minimum_commitment": (
        ("amount", "meters"),
        lambda r: MinimumCommitment(r.price(r.raw, "amount"), r.meters()),
    ),
}


def parse_parameters(model: str, raw: object) -> Parameters:
    """The typed parameters of a rate.

    Raises InvalidParameters with one FieldError for each thing that is wrong, pointing into the JSON object.
    """
    if model not in _READERS:
        known = ", ".join(RATE_MODELS)
        raise InvalidParameters(f"Pricing model {model!r} is unknown.", hint=f"Use one of {known}.")
    if not isinstance(raw, Mapping):
        raise InvalidParameters("The parameters of a rate are a JSON object.")
    allowed, read = _READERS[model]
    reader = _Reader(raw, allowed)
    parameters = read(reader)
    if reader.errors:
        first = reader.errors[0]
        raise InvalidParameters(
            f"The parameters do not fit the pricing model {model}: {first.pointer}: {first.detail}.",
            hint="billing/README.md lists the parameters of every pricing model.",
            errors=reader.errors,
        )
    return parameters
