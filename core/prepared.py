"""Statements of which thousands run: put together once per process, and planned once per connection.

Compiling a read takes the ORM longer than PostgreSQL needs to answer it, and a text with the values in it is planned
anew each time. These are for the few that every request or every release makes; all others stay plain querysets.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, Generic, TypeVar, cast

from django.core.exceptions import EmptyResultSet
from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import AutoField, Model, QuerySet
from django.db.models.query import ModelIterable
from psycopg.rows import RowFactory, namedtuple_row, tuple_row

from core.postgresql.base import DatabaseWrapper

Row = TypeVar("Row", bound=Model)


def run(sql: str, parameters: Any, *, rows: RowFactory[Any] = tuple_row) -> list[Any]:
    """The rows that a statement answers; jsonb as text. Planned once per connection."""
    with cast(DatabaseWrapper, connection).prepared_cursor(rows) as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description is not None else []


def newest(
    build: Callable[..., QuerySet[Any]],
    columns: Sequence[str],
    values: Mapping[str, Any],
    *,
    tenant_ids: Collection[int] | None,
    after: int | None,
    limit: int,
) -> list[Any]:
    """Columns of `build(tenant_ids=…, **values)` by falling id, `after` a key if one is given, as named tuples.

    Compiled once for all values that are keys, if they are those of one tenant or of all; other filters change what is
    to be compiled. `build` is a function of a module and takes keys as they are.
    """
    given = {name: value for name, value in values.items() if value is not None}
    if all(type(value) is int for value in given.values()) and (tenant_ids is None or len(tenant_ids) == 1):
        keys = given if tenant_ids is None else {**given, _TENANT: next(iter(tenant_ids))}
        keys = keys if after is None else {**keys, _AFTER: after}
        sql, places = _page_of(build, tuple(columns), tuple(keys), limit)
        parameters = [keys[name] if name else value for name, value in places]
    else:
        page = _page(build(tenant_ids=tenant_ids, **values), columns, after, limit)
        try:
            sql, found = page.query.sql_with_params()
        except EmptyResultSet:  # filters that nothing can meet, such as a caller who may see no tenant
            return []
        parameters = list(found)
    return run(sql, parameters, rows=namedtuple_row)


_TENANT, _AFTER = "tenant_ids", "after"


@lru_cache(maxsize=256)
def _page_of(
    build: Callable[..., QuerySet[Any]], columns: Sequence[str], names: Sequence[str], limit: int
) -> tuple[str, list[tuple[str, Any]]]:
    samples = {name: -(10**15) - place for place, name in enumerate(names)}
    filters: dict[str, Any] = {name: sample for name, sample in samples.items() if name != _AFTER}
    filters[_TENANT] = [samples[_TENANT]] if _TENANT in samples else None
    _, sql, places = _compiled(_page(build(**filters), columns, samples.get(_AFTER), limit), samples)
    return sql, places


def _page(found: QuerySet[Any], columns: Sequence[str], after: int | None, limit: int) -> QuerySet[Any]:
    # Joins that only select_related asked for would be made although no column needs them.
    rows = found.select_related(None).defer(None).order_by("-id")
    rows = rows if after is None else rows.filter(id__lt=after)
    return rows.values_list(*columns)[:limit]


def _compiled(found: QuerySet[Any], samples: Mapping[str, Any]) -> tuple[Any, str, list[tuple[str, Any]]]:
    """The compiler, the statement, and its values in order, each with the name of the sample that it is or none."""
    compiler = found.query.get_compiler(DEFAULT_DB_ALIAS)
    sql, parameters = compiler.as_sql()
    names = {(type(sample), sample): name for name, sample in samples.items()}
    places = [(names.get((type(value), value), ""), value) for value in parameters]
    if {name for name, _ in places if name} != set(samples):
        raise ValueError("each sample belongs into the queryset as it is")
    return compiler, sql, places


class Prepared(Generic[Row]):
    """A queryset of which only some values change from run to run.

    `build` is called once, with the samples, which must occur nowhere else among the queryset's values; each run puts
    the values of the same names in their places. It is for one number of values: no `__in` of a changing length.
    """

    def __init__(self, build: Callable[..., QuerySet[Row]], **samples: int | str) -> None:
        self._build, self._samples = build, samples
        self._compiler: Any = None
        self._sql = ""
        self._places: list[tuple[str, Any]] = []

    def all(self, **values: Any) -> list[Row]:
        """The rows, with whatever the queryset fetches beside them."""
        if self._compiler is None:
            self._compiler, self._sql, self._places = _compiled(self._build(**self._samples), self._samples)
        found = run(self._sql, [values[name] if name else value for name, value in self._places])
        answered = _Answered(self._compiler, found)
        return list(ModelIterable(cast(Any, answered.queryset)))

    def first(self, **values: Any) -> Row | None:
        """The first row; None without any. The queryset has its own limit."""
        return next(iter(self.all(**values)), None)


class _Answered:
    """The part of a compiler that Django reads rows with, over rows that have come."""

    def __init__(self, compiler: Any, found: list[Any]) -> None:
        self.select, self.klass_info = compiler.select, compiler.klass_info
        self.annotation_col_map = compiler.annotation_col_map
        self.results_iter, self._found = compiler.results_iter, found
        query = SimpleNamespace(get_compiler=lambda using: self)
        self.queryset = SimpleNamespace(db=DEFAULT_DB_ALIAS, query=query, _known_related_objects={})

    def execute_sql(self, **_: Any) -> list[list[Any]]:
        """One chunk."""
        return [self._found]


def insert(row: Model, *, within: str = "{insert}") -> None:
    """INSERT a new row and set its pk, as `save(force_insert=True)` does for a model without parents and signals.

    `within` is a statement around it that answers the pk too. Raises IntegrityError.
    """
    sql, fields = _insert_of(type(row))
    values = [field.get_db_prep_save(field.pre_save(row, add=True), connection) for field in fields]
    (written,) = run(within.format(insert=sql), values)
    row.pk = written[0]
    row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS


_inserts: dict[type[Model], tuple[str, Sequence[Any]]] = {}


def _insert_of(kind: type[Model]) -> tuple[str, Sequence[Any]]:
    found = _inserts.get(kind)
    if found is None:
        fields = [field for field in kind._meta.local_concrete_fields if not isinstance(field, AutoField)]
        columns = ", ".join(f'"{field.column}"' for field in fields)
        places = ", ".join(["%s"] * len(fields))
        pk = kind._meta.pk.column
        sql = f'INSERT INTO "{kind._meta.db_table}" ({columns}) VALUES ({places}) RETURNING "{pk}"'
        found = _inserts[kind] = sql, fields
    return found
