"""The rules of FOCUS 1.2 that a machine can check, over a dataset that may be larger than memory. Pure.

The rules are data (`rules-1.2.json`, with its source); here stand only the checks that they are made of. A cell is
text as a CSV file holds it, and an empty one is null. A rule about a column that the dataset does not have says
nothing: whether the column has to be there is a rule of its own.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any

from babel.core import get_global

Row = Mapping[str, str]

RULES_FILE = Path(__file__).with_name("rules-1.2.json")
# Rules whose machine form lost the clause that limits them, so that no true dataset could keep them.
TOO_WIDE = {
    "EffectiveCost-C-005-C": "Zero only where a purchase covers future charges; ours cover their own month.",
    "InvoiceId-C-004-C": "Null only where a charge belongs to no invoice; every row of ours belongs to one.",
}
# A rule whose condition in the file says the opposite of its words, with the condition that the words name.
CORRECTED: dict[str, Mapping[str, Any]] = {
    "ConsumedQuantity-C-006-C": {
        "CheckFunction": "AND",
        "Items": [
            {"CheckFunction": "CheckValue", "ColumnName": "ChargeCategory", "Value": "Usage"},
            {"CheckFunction": "CheckNotValue", "ColumnName": "ChargeClass", "Value": "Correction"},
        ],
    }
}
# What holds of us, of the conditions under which the specification asks for more columns.
APPLICABLE = frozenset(
    {
        "ACCOUNT_NAMING_SUPPORTED",
        "MULTIPLE_PRICING_CATEGORIES_SUPPORTED",
        "PUBLIC_PRICE_LIST_SUPPORTED",
        "TAGGING_SUPPORTED",
        "UNIT_PRICING_SUPPORTED",
        "USAGE_MEASUREMENT_SUPPORTED",
    }
)
REQUIRED = ("MUST", "MUST NOT")

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", re.ASCII)
CODE = re.compile(r"[A-Z]{3}")
_SIZES = "|".join([*"bB", *(f"{p}{u}" for p in "KMGTPE" for u in ("b", "B", "ib", "iB"))])
_TIME = "Year|Month|Day|Hour|Minute|Second"
_TIMES = "|".join(f"{unit}s" for unit in _TIME.split("|"))
_COUNT = r"[A-Za-z][A-Za-z0-9]*(?: [A-Za-z][A-Za-z0-9]*)*"
UNIT = re.compile(
    rf"(\d+ )?({_SIZES}|{_TIME}|{_TIMES}|{_COUNT})"
    rf"|({_SIZES}|{_COUNT})-({_TIMES})"
    rf"|({_SIZES}|{_COUNT}|{_TIMES})/({_TIME}|\d+ ({_TIMES}))"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One requirement of the specification. `keyword` is its own: MUST, MUST NOT, SHOULD, SHOULD NOT, RECOMMENDED."""

    id: str
    function: str
    column: str
    keyword: str
    text: str
    criteria: frozenset[str]
    requirement: Mapping[str, Any]
    condition: Mapping[str, Any]

    @property
    def is_required(self) -> bool:
        """Whether breaking it makes the dataset wrong, and not only less good."""
        return self.keyword in REQUIRED


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that does not hold: in `row` (counted from 1) with its cell's `value`; 0 is the dataset as a whole."""

    rule: Rule
    row: int
    value: str

    def __str__(self) -> str:
        place = f"row {self.row}" if self.row else "dataset"
        return f"{self.rule.id} ({place}): {self.rule.text} Found: {self.value!r}."


@cache
def load_rules() -> tuple[Rule, ...]:
    """Every rule of the file, but those that are too wide."""
    document = json.loads(RULES_FILE.read_text())
    return tuple(
        Rule(
            **{
                **given,
                "criteria": frozenset(given["criteria"]),
                "condition": CORRECTED.get(given["id"], given["condition"]),
            }
        )
        for given in document["rules"]
        if given["id"] not in TOO_WIDE
    )


@dataclass
class Checker:
    """Checks a dataset row by row: `add` each row, then `finish`. Keeps at most `limit` breaches.

    Memory grows with the number of distinct prices and services, not with rows.
    """

    columns: Sequence[str]
    applicable: Collection[str] = APPLICABLE
    rules: Sequence[Rule] = field(default_factory=load_rules)
    limit: int = 100
    breaches: list[Breach] = field(default_factory=list)
    rows: int = 0

    def __post_init__(self) -> None:
        """Sort the rules into those about the dataset and those about each row; check the columns."""
        present = set(self.columns)
        wanted = [rule for rule in self.rules if rule.criteria <= set(self.applicable)]
        for rule in wanted:
            if rule.requirement["CheckFunction"] == "ColumnPresent" and rule.column not in present:
                self._breach(rule, 0, "no such column")
        about_cells = [rule for rule in wanted if _columns(rule.requirement) <= present]
        self._counted = [r for r in about_cells if r.requirement["CheckFunction"] == "CheckDistinctCount"]
        not_for_rows = {"ColumnPresent", "CheckDistinctCount"}
        self._per_row = [r for r in about_cells if r.requirement["CheckFunction"] not in not_for_rows]
        self._seen: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))

    def add(self, row: Row) -> None:
        """Check the next row."""
        self.rows += 1
        for rule in self._per_row:
            if rule.function != "Nullability" and not row.get(rule.column):
                continue  # formats are of values; whether a null may stand there is a rule of its own
            if self._holds(rule.condition, row) and not self._holds(rule.requirement, row):
                self._breach(rule, self.rows, row.get(rule.column, ""))
        for rule in self._counted:
            first, second = (row.get(rule.requirement[name], "") for name in ("ColumnAName", "ColumnBName"))
            if first:
                self._seen[rule.id][first].add(second)

    def finish(self) -> list[Breach]:
        """All breaches, after the last row."""
        for rule in self._counted:
            for value, others in self._seen[rule.id].items():
                if len(others) != rule.requirement["ExpectedCount"]:
                    self._breach(rule, 0, f"{value}: {', '.join(sorted(others))}")
        return self.breaches

    def _breach(self, rule: Rule, row: int, value: str) -> None:
        if len(self.breaches) < self.limit:
            self.breaches.append(Breach(rule, row, value))

    def _holds(self, check: Mapping[str, Any], row: Row) -> bool:
        if not check:
            return True
        name = check["CheckFunction"]
        if name in ("AND", "OR"):
            return (all if name == "AND" else any)(self._holds(item, row) for item in check["Items"])
        return _CHECKS[name](check, row)


def check_dataset(columns: Sequence[str], rows: Iterable[Row], **how: Any) -> list[Breach]:
    """The breaches of a whole dataset; `how` goes to Checker."""
    checker = Checker(columns, **how)
    for row in rows:
        checker.add(row)
    return checker.finish()


@cache
def national_currencies() -> frozenset[str]:
    """The currencies that are legal tender somewhere, after CLDR."""
    territories = get_global("territory_currencies")
    return frozenset(
        code for used in territories.values() for code, _since, until, tender in used if tender and not until
    )


def _columns(check: Mapping[str, Any]) -> set[str]:
    found = {check[key] for key in ("ColumnName", "ColumnAName", "ColumnBName", "ResultColumnName") if key in check}
    for item in check.get("Items", ()):
        found |= _columns(item)
    return found


def _cell(check: Mapping[str, Any], row: Row, name: str = "ColumnName") -> str:
    return row.get(check[name], "")


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text) if NUMBER.fullmatch(text) else None
    except InvalidOperation:
        return None


def _equals(text: str, value: Any) -> bool:
    if value is None:
        return text == ""
    if isinstance(value, int | float):
        number = _number(text)
        return number is not None and number == Decimal(str(value))
    return text == value


def _at_least(check: Mapping[str, Any], row: Row) -> bool:
    text = _cell(check, row)
    number = _number(text)
    return not text or (number is not None and number >= Decimal(str(check["Value"])))


def _is_product(check: Mapping[str, Any], row: Row) -> bool:
    first, second, product = (
        _number(_cell(check, row, f"{name}Name")) for name in ("ColumnA", "ColumnB", "ResultColumn")
    )
    return first is None or second is None or (product is not None and first * second == product)


def _is_instant(text: str) -> bool:
    if not INSTANT.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_text(text: str) -> bool:
    return text == text.strip() and text.isprintable()


def _is_key_value(text: str) -> bool:
    """A JSON object without nesting, whose keys are unique."""
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except ValueError:
        return False
    if not isinstance(pairs, list) or not text.lstrip().startswith("{"):
        return False
    keys = [key for key, _value in pairs]
    return len(set(keys)) == len(keys) and not any(isinstance(value, list | dict) for _key, value in pairs)


def _where_given(test: Callable[[str], bool]) -> Callable[[Mapping[str, Any], Row], bool]:
    """Types and formats are asked of values; whether a null is allowed is another rule."""
    return lambda check, row: not _cell(check, row) or test(_cell(check, row))


_CHECKS: dict[str, Callable[[Mapping[str, Any], Row], bool]] = {
    "CheckValue": lambda check, row: _equals(_cell(check, row), check["Value"]),
    "CheckNotValue": lambda check, row: not _equals(_cell(check, row), check["Value"]),
    "CheckSameValue": lambda check, row: _cell(check, row, "ColumnAName") == _cell(check, row, "ColumnBName"),
    "CheckNotSameValue": lambda check, row: _cell(check, row, "ColumnAName") != _cell(check, row, "ColumnBName"),
    "CheckDecimalValue": _where_given(lambda text: _number(text) is not None),
    "CheckGreaterOrEqualThanValue": _at_least,
    "ColumnByColumnEqualsColumnValue": _is_product,
    "TypeDecimal": _where_given(lambda text: _number(text) is not None),
    "TypeString": lambda _check, _row: True,
    "TypeDateTime": _where_given(_is_instant),
    "FormatNumeric": _where_given(lambda text: NUMBER.fullmatch(text) is not None),
    "FormatDateTime": _where_given(_is_instant),
    "FormatString": _where_given(_is_text),
    "FormatUnit": _where_given(lambda text: UNIT.fullmatch(text) is not None),
    "CheckNationalCurrency": _where_given(lambda text: text in national_currencies()),
    "FormatCurrency": _where_given(lambda text: CODE.fullmatch(text) is not None),
    "FormatKeyValue": _where_given(_is_key_value),
}
