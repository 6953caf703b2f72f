"""Columns as PostgreSQL reads arrays."""

from datetime import UTC, datetime
from typing import Any

import pytest

from metering.columns import array, arrays

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], "{}"),
        ([1, -2, 10**30], "{1,-2," + "1" + "0" * 30 + "}"),
        (["a", "NULL", ""], '{"a","NULL",""}'),
        (['say "x"', "back\\slash", "a,{b}"], '{"say \\"x\\"","back\\\\slash","a,{b}"}'),
        (["unit\x1fseparator", 'and "quotes"'], '{"unit\x1fseparator","and \\"quotes\\""}'),
        ([NOON, NOON], '{"2026-10-01 12:00:00+00:00","2026-10-01 12:00:00+00:00"}'),
    ],
)
def test_a_column_reads_back_as_its_values(values: list[Any], text: str) -> None:
    assert array(values) == text


def test_rows_become_columns() -> None:
    assert arrays([(1, "a"), (2, "b")]) == ["{1,2}", '{"a","b"}']
    assert arrays([]) == []
