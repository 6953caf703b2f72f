"""Instances, Savings Plan factors, token prices and base models: data with a source and a date, never constants.

The tables are CSV (`data/catalogue/*.csv`), the same form that operators import, so there is one reader. A row is
known by its key; a later table replaces rows of the same key and leaves the others.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from core.errors import FieldError
from provisioning.planner.base_models import BaseModel, read_base_model
from provisioning.planner.refusals import (
    InvalidCatalogue,
    UnknownInstance,
    UnknownModel,
    UnknownRegion,
    UnknownTokenPrice,
    not_one_of,
)
from provisioning.planner.units import GIB_BYTES

DATA = Path(__file__).resolve().parents[2] / "data"
STALE_AFTER = timedelta(days=180)
MOST_ROWS, MOST_ERRORS, LONGEST_TEXT = 2000, 50, 300
SAVINGS_PLAN_TERM = "1y_no_upfront"


@dataclass(frozen=True, slots=True)
class Sourced:
    """A row with the place it was read from and the day for which that place gave it."""

    source: str
    as_of: date

    def is_stale(self, today: date) -> bool:
        """Whether somebody should look again before deciding by it."""
        return today - self.as_of > STALE_AFTER


@dataclass(frozen=True, slots=True)
class Instance(Sourced):
    """An instance type in a region; memory as AWS states it, per accelerator."""

    table: ClassVar[str] = "instances"
    instance_type: str
    region: str
    accelerator: str
    accelerators: int
    memory_gib_per_accelerator: Decimal
    usd_per_hour: Decimal

    @property
    def key(self) -> str:
        """What makes two rows the same one."""
        return f"{self.region}/{self.instance_type}"

    @property
    def memory_bytes_per_accelerator(self) -> int:
        """Memory of one accelerator."""
        return int(self.memory_gib_per_accelerator * GIB_BYTES)

    @property
    def memory_bytes(self) -> int:
        """Memory of all accelerators together."""
        return self.accelerators * self.memory_bytes_per_accelerator


@dataclass(frozen=True, slots=True)
class HostMemory(Sourced):
    """The memory of an instance beside its accelerators', as AWS states it; the same in every region."""

    table: ClassVar[str] = "host_memory"
    instance_type: str
    memory_gib: Decimal

    @property
    def key(self) -> str:
        """What makes two rows the same one."""
        return self.instance_type

    @property
    def mebibytes(self) -> int:
        """In the unit in which SageMaker's components ask for it."""
        return int(self.memory_gib * 1024)


@dataclass(frozen=True, slots=True)
class SavingsPlan(Sourced):
    """What is paid under a plan, as a fraction of on demand; `applies_to` is an instance type or its family."""

    table: ClassVar[str] = "savings_plans"
    applies_to: str
    term: str
    fraction_of_on_demand: Decimal

    @property
    def key(self) -> str:
        """What makes two rows the same one."""
        return f"{self.applies_to}/{self.term}"


@dataclass(frozen=True, slots=True)
class TokenPrice(Sourced):
    """What an API costs from a day on."""

    table: ClassVar[str] = "api_prices"
    api: str
    name: str
    usd_per_million_tokens_in: Decimal
    usd_per_million_tokens_out: Decimal
    effective_from: date

    @property
    def key(self) -> str:
        """What makes two rows the same one."""
        return f"{self.api}/{self.effective_from:%Y-%m-%d}"

    def usd_per_request(self, tokens_in: Decimal, tokens_out: Decimal) -> Decimal:
        """Price of one request: tokens in x price in + tokens out x price out, exactly."""
        spent = tokens_in * self.usd_per_million_tokens_in + tokens_out * self.usd_per_million_tokens_out
        return spent / 1_000_000


Row = Instance | HostMemory | SavingsPlan | TokenPrice
_Kind = TypeVar("_Kind", Instance, HostMemory, SavingsPlan, TokenPrice)
TABLES: Mapping[str, type[Row]] = {kind.table: kind for kind in (Instance, HostMemory, SavingsPlan, TokenPrice)}


@dataclass(frozen=True)
class Catalogue:
    """Everything that a plan can choose from."""

    rows: Mapping[str, Mapping[str, Row]]
    base_models: Mapping[str, BaseModel]

    def instances(self) -> list[Instance]:
        """All instances, by region and price."""
        found = self._table(Instance)
        return sorted(found, key=lambda each: (each.region, each.usd_per_hour, each.instance_type))

    def instance(self, instance_type: str, region: str) -> Instance:
        """One instance type in a region. Raises UnknownInstance and UnknownRegion."""
        found = self.rows[Instance.table].get(f"{region}/{instance_type}")
        if isinstance(found, Instance):
            return found
        regions = {each.region for each in self.instances()}
        if region not in regions:
            detail, hint = not_one_of(region, regions, what="price of any instance type in the region")
            raise UnknownRegion(detail, hint=hint, errors=[FieldError("/region", "unknown_region", detail)])
        there = [each.instance_type for each in self.instances() if each.region == region]
        detail, hint = not_one_of(instance_type, there, what=f"price in {region} for the instance type")
        raise UnknownInstance(detail, hint=hint, errors=[FieldError("/instance", "unknown_instance", detail)])

    def host_memory(self, instance_type: str) -> HostMemory | None:
        """The host's memory of an instance type; None when nobody knows it."""
        found = self.rows[HostMemory.table].get(instance_type)
        return found if isinstance(found, HostMemory) else None

    def savings_plan(self, instance_type: str) -> SavingsPlan | None:
        """The one-year plan without upfront payment: of the instance type itself, else of its family."""
        plans = self.rows[SavingsPlan.table]
        for name in (instance_type, instance_type.rpartition(".")[0]):
            found = plans.get(f"{name}/{SAVINGS_PLAN_TERM}")
            if isinstance(found, SavingsPlan):
                return found
        return None

    def token_prices(self, today: date) -> list[TokenPrice]:
        """The prices in force, one per API, in order of the API's name."""
        newest: dict[str, TokenPrice] = {}
        for price in sorted(self._table(TokenPrice), key=lambda each: each.effective_from):
            if price.effective_from <= today:
                newest[price.api] = price
        return [newest[api] for api in sorted(newest)]

    def token_price(self, api: str, today: date) -> TokenPrice:
        """The price of one API in force. Raises UnknownTokenPrice."""
        prices = {price.api: price for price in self.token_prices(today)}
        if api not in prices:
            detail, hint = not_one_of(api, prices, what="API with prices, named")
            raise UnknownTokenPrice(detail, hint=hint, errors=[FieldError("/apis", "unknown_api", detail)])
        return prices[api]

    def base_model(self, key: str) -> BaseModel:
        """One base model. Raises UnknownModel."""
        if key not in self.base_models:
            detail, hint = not_one_of(key, self.base_models, what="base model")
            raise UnknownModel(detail, hint=hint, errors=[FieldError("/base_model", "unknown_base_model", detail)])
        return self.base_models[key]

    def with_rows(self, rows: Iterable[Row]) -> "Catalogue":
        """The same with some rows added or replaced."""
        merged = {table: dict(known) for table, known in self.rows.items()}
        for row in rows:
            merged[row.table][row.key] = row
        return Catalogue(merged, self.base_models)

    def _table(self, kind: type[_Kind]) -> list[_Kind]:
        return [row for row in self.rows[kind.table].values() if isinstance(row, kind)]


@dataclass(frozen=True, slots=True)
class Change:
    """What a table would do to one row; `before` and `after` name the columns that differ."""

    key: str
    is_new: bool
    before: Mapping[str, str]
    after: Mapping[str, str]


@cache
def load_catalogue(folder: Path = DATA) -> Catalogue:
    """The catalogue that comes with the project, read once. Raises InvalidCatalogue, naming line and column."""
    rows = {
        table: {row.key: row for row in read_table(table, (folder / "catalogue" / f"{table}.csv").read_text("utf-8"))}
        for table in TABLES
    }
    models = {}
    for path in sorted((folder / "base-models").glob("*.json")):
        models[path.stem] = read_base_model(path.stem, json.loads(path.read_text("utf-8")))
    return Catalogue(rows, models)


def columns_of(table: str) -> list[str]:
    """The columns of a table, in the order in which they are exported."""
    names = [field.name for field in fields(TABLES[table])]
    return [name for name in names if name not in ("source", "as_of")] + ["source", "as_of"]


def read_table(table: str, text: str) -> list[Row]:
    """The rows of a CSV text with a header. Raises InvalidCatalogue with all that is wrong, KeyError for no table."""
    kind, wanted = TABLES[table], columns_of(table)
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    errors: list[FieldError] = []
    rows: dict[str, Row] = {}
    try:
        found = [name.strip() for name in reader.fieldnames or []]
        if sorted(found) != sorted(wanted):
            raise InvalidCatalogue(
                f"The first line has to name these columns: {', '.join(wanted)}.", hint=f"It names: {found}."
            )
        reader.fieldnames = found
        for record in reader:
            values, problems = _values(kind, record, reader.line_num)
            errors += problems
            if not problems:
                row = kind(**values)
                if row.key in rows:
                    errors.append(FieldError(f"/{reader.line_num}", "doubled", f"{row.key} is there twice."))
                rows[row.key] = row
            if len(rows) > MOST_ROWS:
                raise InvalidCatalogue(f"A table has at most {MOST_ROWS:,} rows.")
            if len(errors) >= MOST_ERRORS:
                break
    except csv.Error as error:
        raise InvalidCatalogue(f"Line {reader.line_num}: {error}.") from error
    if errors:
        told = "; ".join(f"line {each.pointer.strip('/').replace('/', ', ')}: {each.detail}" for each in errors[:5])
        raise InvalidCatalogue(f"{len(errors)} values cannot be read: {told}", errors=errors)
    return list(rows.values())


def write_table(table: str, rows: Iterable[Row]) -> str:
    """Rows as the CSV that `read_table` reads."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns_of(table))
    for row in rows:
        writer.writerow(as_texts(row).values())
    return out.getvalue()


def as_texts(row: Row) -> dict[str, str]:
    """A row as its columns read."""
    return {name: str(getattr(row, name)) for name in columns_of(row.table)}


def row_from_texts(table: str, texts: Mapping[str, str]) -> Row:
    """The row that `as_texts` wrote. Raises InvalidCatalogue."""
    values, problems = _values(TABLES[table], texts, 1)
    if problems:
        raise InvalidCatalogue(" ".join(each.detail for each in problems), errors=problems)
    return TABLES[table](**values)


def changes(known: Catalogue, rows: Sequence[Row]) -> list[Change]:
    """What importing `rows` would change, in their order; rows that say the same as before are left out."""
    found = []
    for row in rows:
        old = known.rows[row.table].get(row.key)
        before, after = as_texts(old) if old else {}, as_texts(row)
        differing = [name for name in after if before.get(name) != after[name]]
        if differing:
            found.append(
                Change(
                    key=row.key,
                    is_new=old is None,
                    before={name: before.get(name, "") for name in differing},
                    after={name: after[name] for name in differing},
                )
            )
    return found


def _values(kind: type[Row], record: Mapping[Any, Any], line: int) -> tuple[dict[str, Any], list[FieldError]]:
    values: dict[str, Any] = {}
    problems: list[FieldError] = []
    for field in fields(kind):
        text = record.get(field.name)
        try:
            if None in record or not isinstance(text, str):
                raise ValueError("The line has more or fewer values than there are columns.")
            values[field.name] = _value(field.type, text.strip())
        except (ValueError, InvalidOperation) as error:
            said = str(error) if type(error) is ValueError else f"{text!r} is no number."
            problems.append(FieldError(f"/{line}/{field.name}", "invalid", said))
    return values, problems


def _value(kind: Any, text: str) -> Any:
    """One cell; numbers are above zero. Raises ValueError or InvalidOperation."""
    if not text or len(text) > LONGEST_TEXT or "\0" in text:
        raise ValueError(f"A value of 1 to {LONGEST_TEXT} characters is needed.")
    if kind is str:
        return text
    if kind is date:
        return date.fromisoformat(text)
    value = int(text) if kind is int else Decimal(text)
    if not 0 < value < 10**9 or not Decimal(value).is_finite():
        raise ValueError(f"{text} is not above zero and below a billion.")
    return value
