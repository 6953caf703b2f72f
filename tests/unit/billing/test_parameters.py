"""A rate's parameters are read strictly, and every mistake is named with a pointer."""

from decimal import Decimal

import pytest

from billing.rating.parameters import (
    Allowance,
    Band,
    Flat,
    Hourly,
    InvalidParameters,
    MinimumCommitment,
    PerUnit,
    parse_parameters,
)

BANDS = [{"up_to": 10, "unit_price": "2"}, {"up_to": None, "unit_price": "1"}]


@pytest.mark.parametrize(
    ("model", "raw", "parsed"),
    [
        ("flat", {"amount": "99.00"}, Flat(Decimal("99.00"))),
        ("per_unit", {"unit_price": "0.0000027", "per": 1}, PerUnit(Decimal("0.0000027"), 1)),
        ("hourly", {"price": "1.5"}, Hourly(Decimal("1.5"))),
        (
            "allowance",
            {"included": 5, "per": 1000, "bands": BANDS},
            Allowance(5, 1000, (Band(10, Decimal(2)), Band(None, Decimal(1)))),
        ),
        (
            "minimum_commitment",
            {"amount": "500", "meters": ["endpoint_seconds"]},
            MinimumCommitment(Decimal(500), ("endpoint_seconds",)),
        ),
    ],
)
def test_good_parameters_are_parsed(model: str, raw: dict[str, object], parsed: object) -> None:
    assert parse_parameters(model, raw) == parsed


@pytest.mark.parametrize(
    ("model", "raw", "pointer", "code"),
    [
        ("flat", {}, "/amount", "required"),
        ("flat", {"amount": 99}, "/amount", "not_a_string"),
        ("flat", {"amount": "ninety"}, "/amount", "not_a_number"),
        ("flat", {"amount": "NaN"}, "/amount", "not_a_number"),
        ("flat", {"amount": "Infinity"}, "/amount", "not_a_number"),
        ("flat", {"amount": "-1"}, "/amount", "out_of_range"),
        ("flat", {"amount": "1e13"}, "/amount", "out_of_range"),
        ("flat", {"amount": "1", "colour": "red"}, "/colour", "unknown"),
        ("per_unit", {"unit_price": "0.0000000000001", "per": 1}, "/unit_price", "too_precise"),
        ("per_unit", {"unit_price": "1", "per": 7}, "/per", "invalid_choice"),
        ("per_unit", {"unit_price": "1", "per": True}, "/per", "invalid_choice"),
        ("per_unit", {"unit_price": "1", "per": "1000"}, "/per", "invalid_choice"),
        ("package", {"size": 0, "price": "1"}, "/size", "out_of_range"),
        ("package", {"size": 1.5, "price": "1"}, "/size", "not_an_integer"),
        ("graduated", {"per": 1, "bands": []}, "/bands", "required"),
        ("graduated", {"per": 1, "bands": BANDS[:1]}, "/bands/0/up_to", "invalid"),
        ("volume", {"per": 1, "bands": [BANDS[1], BANDS[1]]}, "/bands/0/up_to", "invalid"),
        ("volume", {"per": 1, "bands": [BANDS[0], BANDS[0], BANDS[1]]}, "/bands/1/up_to", "not_ascending"),
        ("volume", {"per": 1, "bands": [{"up_to": None}]}, "/bands/0", "invalid"),
        ("allowance", {"included": -1, "per": 1, "bands": BANDS}, "/included", "out_of_range"),
        ("minimum_commitment", {"amount": "1", "meters": []}, "/meters", "required"),
        ("minimum_commitment", {"amount": "1", "meters": ["a", "a"]}, "/meters", "repeated"),
    ],
)
def test_a_wrong_parameter_is_named(model: str, raw: dict[str, object], pointer: str, code: str) -> None:
    with pytest.raises(InvalidParameters) as refusal:
        parse_parameters(model, raw)
    assert (pointer, code) in [(error.pointer, error.code) for error in refusal.value.errors]


@pytest.mark.parametrize("raw", [None, [], "x", 3])
def test_parameters_are_an_object(raw: object) -> None:
    with pytest.raises(InvalidParameters):
        parse_parameters("flat", raw)


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidParameters) as refusal:
        parse_parameters("surprise", {})
    assert "graduated" in refusal.value.hint
