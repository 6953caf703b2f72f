"""The tables: what ships, how they are read, and what an import would change."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from provisioning.planner.catalogue import (
    TABLES,
    TokenPrice,
    as_texts,
    changes,
    columns_of,
    load_catalogue,
    read_table,
    row_from_texts,
    write_table,
)
from provisioning.planner.refusals import InvalidCatalogue, UnknownTokenPrice
from tests.unit.planner.making import CATALOGUE, TODAY

PRICES = write_table("api_prices", CATALOGUE.rows["api_prices"].values())


def test_every_row_that_ships_has_a_source_and_a_date() -> None:
    assert set(CATALOGUE.rows) == set(TABLES) == {"instances", "host_memory", "savings_plans", "api_prices"}
    for rows in CATALOGUE.rows.values():
        assert rows
        for row in rows.values():
            assert row.source and row.as_of <= TODAY


@pytest.mark.parametrize("table", TABLES)
def test_a_table_is_written_as_it_is_read(table: str) -> None:
    rows = list(CATALOGUE.rows[table].values())
    assert read_table(table, write_table(table, rows)) == rows
    assert [row_from_texts(table, as_texts(row)) for row in rows] == rows


def test_old_prices_are_marked() -> None:
    assert CATALOGUE.token_price("claude-3-haiku", TODAY).is_stale(TODAY)
    assert not CATALOGUE.instance("ml.g5.2xlarge", "us-west-2").is_stale(TODAY)


def test_the_price_in_force_is_the_newest_that_has_begun() -> None:
    old = CATALOGUE.token_price("claude-3-haiku", TODAY)
    soon = replace(old, effective_from=date(2027, 1, 1), usd_per_million_tokens_in=Decimal("0.5"))
    catalogue = CATALOGUE.with_rows([soon])
    assert catalogue.token_price("claude-3-haiku", TODAY) == old
    assert catalogue.token_price("claude-3-haiku", date(2027, 1, 1)) == soon
    with pytest.raises(UnknownTokenPrice):
        catalogue.token_price("claude-3-haiku", date(2024, 1, 1))


def test_a_savings_plan_of_the_type_goes_before_that_of_the_family() -> None:
    exact, family = CATALOGUE.savings_plan("ml.g5.48xlarge"), CATALOGUE.savings_plan("ml.g5.2xlarge")
    assert exact is not None and family is not None
    assert (exact.applies_to, family.applies_to) == ("ml.g5.48xlarge", "ml.g5")
    assert CATALOGUE.savings_plan("ml.p5.48xlarge") is None


def test_an_import_says_what_it_would_change_and_nothing_else() -> None:
    text = PRICES.replace("Claude 3 Haiku,0.25", "Claude 3 Haiku,0.30").replace("llama-3-1-70b", "llama-3-3-70b")
    found = {change.key: change for change in changes(CATALOGUE, read_table("api_prices", text))}
    assert set(found) == {"claude-3-haiku/2024-10-22", "llama-3-3-70b/2024-10-22"}
    haiku = found["claude-3-haiku/2024-10-22"]
    assert not haiku.is_new
    assert (haiku.before, haiku.after) == (
        {"usd_per_million_tokens_in": "0.25"},
        {"usd_per_million_tokens_in": "0.30"},
    )
    assert found["llama-3-3-70b/2024-10-22"].is_new
    assert changes(CATALOGUE, read_table("api_prices", PRICES)) == []


def test_rows_replace_rows_of_their_key_and_leave_the_shipped_ones() -> None:
    row = read_table("api_prices", PRICES.replace("Claude 3 Haiku,0.25", "Claude 3 Haiku,0.30"))[1]
    assert isinstance(row, TokenPrice)
    assert CATALOGUE.with_rows([row]).token_price("claude-3-haiku", TODAY) == row
    assert load_catalogue().token_price("claude-3-haiku", TODAY) != row


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has to name these columns"),
        ("api,name\na,b\n", "has to name these columns"),
        (PRICES.replace(",3,15,", ",3,free,"), "line 2, usd_per_million_tokens_out"),
        (PRICES.replace(",3,15,", ",0,15,"), "not above zero"),
        (PRICES.replace(",3,15,", ",-3,15,"), "not above zero"),
        (PRICES.replace(",3,15,", ",NaN,15,"), "line 2"),
        (PRICES.replace(",3,15,", ",3,15,,"), "more or fewer values"),
        (PRICES.replace(",3,15,2024-10-22", ",3,15,22.10.2024"), "line 2, effective_from"),
        (PRICES + PRICES.splitlines()[1] + "\n", "is there twice"),
        (PRICES + '"unclosed', "Line"),
    ],
)
def test_a_table_that_cannot_be_read_names_line_and_column(text: str, words: str) -> None:
    with pytest.raises(InvalidCatalogue) as refused:
        read_table("api_prices", text)
    assert words in refused.value.detail


def test_a_table_without_end_is_not_read_to_its_end() -> None:
    header = PRICES.splitlines()[0]
    rows = "".join(f"a{number},A,1,1,2026-01-01,s,2026-01-01\n" for number in range(2001))
    with pytest.raises(InvalidCatalogue, match="at most 2,000 rows"):
        read_table("api_prices", f"{header}\n{rows}")
    with pytest.raises(InvalidCatalogue) as refused:
        read_table("api_prices", f"{header}\n" + "a,A,x,x,x,s,x\n" * 1000)
    assert 50 <= len(refused.value.errors) < 60


def test_what_spreadsheets_add_is_no_hindrance() -> None:
    assert read_table("api_prices", "\ufeff" + PRICES.replace("\n", "\r\n")) == list(
        CATALOGUE.rows["api_prices"].values()
    )
    assert columns_of("api_prices")[-2:] == ["source", "as_of"]
