"""Options, break-evens, adapters, price floors and sensitivity, against plain re-counting."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from core.errors import DomainError
from provisioning.planner.adapters import plan_adapters
from provisioning.planner.evaluate import as_dict, evaluate
from provisioning.planner.options import HostedOption, break_even, hosted_against_hosted
from provisioning.planner.presets import load_presets
from provisioning.planner.price_floor import price_floors, sequences_for, waiting_share
from provisioning.planner.refusals import ImpossibleScenario, UnknownInstance, UnknownModel, UnknownTokenPrice
from provisioning.planner.scenario import as_data, read_scenario
from provisioning.planner.sensitivity import sensitivity
from provisioning.planner.verdict import verdict
from tests.unit.planner.making import CATALOGUE, INT4, INT8, LLAMA, TODAY, answer, scenario


def instances_needed(option: HostedOption, load: int) -> int:
    """Counted with exact fractions: work in the busiest hour over what one instance does."""
    work = Fraction(load) * Fraction(option.seconds_at_peak)
    return max(1, -(-work // (option.sequences * 31_536_000)))


@pytest.mark.parametrize("peak", ["1", "2.5", "3.7"])
@pytest.mark.parametrize("load", [1, 35_836_363, 35_836_364, 71_672_727, 71_672_728, 10**9])
def test_instances_are_whole_and_never_one_too_many(peak: str, load: int) -> None:
    for option in answer(peak_to_average=peak).hosted:
        assert option.instances(load) == instances_needed(option, load)
        assert 0 < option.utilisation(load) <= 1


def test_a_full_last_instance_is_not_followed_by_another() -> None:
    result = answer(seconds_per_request="5", requests_per_year=31_536_000)  # exactly five sequences' work
    assert [option.instances(31_536_000) for option in result.hosted] == [1, 1, 1, 1]
    assert [option.instances(31_536_001) for option in result.hosted] == [2, 2, 2, 2]


def test_headroom_and_peak_take_capacity_away() -> None:
    plain, kept = answer().hosted[0], answer(headroom="0.3").hosted[0]
    assert (plain.sequences, kept.sequences) == (5, 3)
    peaked = answer(peak_to_average="2").hosted[0]
    assert peaked.capacity_requests_per_year * 2 == plain.capacity_requests_per_year


def test_two_staircases_turn_where_a_walk_over_every_step_says() -> None:
    small, large = (
        option for option in answer(hosted=[INT4, f"{LLAMA}:int8:ml.p4d.24xlarge"]).hosted if not option.plan
    )
    assert small.usd_per_hour < large.usd_per_hour and small.sequences < large.sequences
    found = hosted_against_hosted(small, large)
    step = small.sequences * 31_536_000 / Fraction(small.seconds_at_peak)
    first = next(
        (
            load
            for load in (int(step * steps) + 1 for steps in range(1, 65))
            if instances_needed(large, load) * large.usd_per_hour < instances_needed(small, load) * small.usd_per_hour
        ),
        None,
    )
    assert (found.requests_per_year is None) == (first is None)
    if first is not None and found.requests_per_year is not None:
        assert first == int(found.requests_per_year) + 1
    assert hosted_against_hosted(large, small) == found


def test_a_bigger_instance_with_a_lower_price_per_sequence_wins_above_a_step() -> None:
    one = next(option for option in answer(hosted=[INT4]).hosted if not option.plan)
    twice = replace(one, key="hosted:twice", sequences=one.sequences * 3)
    dearer = replace(twice, memory=replace(one.memory, instance=replace(one.instance, usd_per_hour=Decimal("14"))))
    found = hosted_against_hosted(one, dearer)
    assert found.requests_per_year == one.capacity_requests_per_year
    assert (found.cheaper_below, found.cheaper_above) == (one.key, "hosted:twice")


def test_every_pair_is_compared_and_the_same_both_ways_round() -> None:
    result = answer()
    assert len(result.break_evens) == 7 * 6
    for (one, other), found in result.break_evens.items():
        assert result.break_evens[other, one] == found
    for one in result.options:
        for other in result.options:
            if one is not other:
                assert break_even(one, other) == result.break_evens[one.key, other.key]


def test_hosting_that_does_not_fit_is_priced_by_nobody_and_explained() -> None:
    result = answer(hosted=[f"{LLAMA}:fp32:ml.g5.12xlarge"])
    assert result.cheapest_hosted is None and result.cheapest is not None
    shown = as_dict(result)
    assert {row["annual_usd"] for row in shown["options"] if row["kind"] == "hosted"} == {None}
    assert "weights need" in shown["refusals"][0]["detail"]
    assert "None of the hosted options can carry the load" in verdict(result)
    assert "weights need" in verdict(result, "ja")


def test_hosting_wins_in_words_too() -> None:
    result = answer(apis=["claude-3-5-sonnet"])
    assert verdict(result).startswith(
        "At 0.95 requests per second (peak 0.95) the cheapest is Llama-3.1-70B-Instruct INT4 on 1 × ml.g5.12xlarge"
    )
    assert "The cheapest API is Claude 3.5 Sonnet (API): 267,480 USD a year." in verdict(result)


def test_merged_adapters_need_weights_per_tenant() -> None:
    result = answer()
    option = result.cheapest_hosted
    assert option is not None
    plan = plan_adapters(result, option)
    assert plan.merged_bytes == 300 * option.memory.weight_bytes
    assert plan.merged_instances == 150, "two copies of the INT4 weights with one sequence each fit on an instance"
    assert plan.unmerged_instances == 1
    assert plan.slots_at_most == 9
    room = option.memory.usable_bytes - option.memory.weight_bytes - 5 * option.memory.cache_bytes_per_sequence
    assert 9 * plan.slot_bytes <= room < 10 * plan.slot_bytes


def test_erlang_c_is_the_textbooks() -> None:
    assert waiting_share(2.0, 3) == pytest.approx(4 / 9)
    assert waiting_share(0.5, 1) == pytest.approx(0.5)
    assert waiting_share(5.0, 5) == 1.0
    for offered, share in ((0.01, 0.2), (4.19, 0.05), (97.0, 0.01)):
        enough = sequences_for(offered, share)
        assert waiting_share(offered, enough) <= share < waiting_share(offered, enough - 1)


def test_a_stricter_promise_has_no_lower_floor() -> None:
    result = answer(tenants=20)
    option = result.cheapest_hosted
    assert option is not None
    floors = price_floors(result, option)
    prices = [floor.usd_per_tenant_month for floor in floors]
    assert prices == sorted(prices)
    premium = floors[-1]
    assert premium.instances == 20, "its own instance for each"
    assert premium.usd_per_tenant_month == option.usd_per_instance_year / 12


def test_sensitivity_names_the_strongest_first_and_stays_within_limits() -> None:
    effects = sensitivity(answer(), CATALOGUE, TODAY)
    assert [effect.weight for effect in effects] == sorted((effect.weight for effect in effects), reverse=True)
    by_name = {effect.name: effect for effect in effects}
    assert by_name["tokens_out"].api_usd == (Decimal("-3997.5"), Decimal("3997.5"))
    assert by_name["peak_to_average"].low == 1, "a peak is never below the average"
    assert by_name["context_tokens"].high == 131_072, "the model takes no more"
    moved = evaluate(scenario(requests_per_year=36_000_000), CATALOGUE, TODAY)
    assert by_name["requests_per_year"].instances[1] == moved.cheapest_hosted.instances(36_000_000) - 1  # type: ignore[union-attr]


def test_sensitivity_at_the_edge_of_the_context_asks_nothing_impossible() -> None:
    result = answer(tokens_in=100_000, tokens_out=31_072)
    assert {effect.name: effect for effect in sensitivity(result, CATALOGUE, TODAY)}["tokens_out"].high == 31_072


@pytest.mark.parametrize("key", load_presets())
def test_every_preset_can_be_read_answered_and_written_back(key: str) -> None:
    read = read_scenario(load_presets()[key].scenario, CATALOGUE)
    result = evaluate(read, CATALOGUE, TODAY)
    assert result.cheapest_hosted is not None
    assert read_scenario(as_data(read), CATALOGUE) == read


@pytest.mark.parametrize(
    ("changes", "refusal", "words"),
    [
        ({"tokens_in": 0}, ImpossibleScenario, "tokens_in has to be from 1 to"),
        ({"tokens_out": "lots"}, ImpossibleScenario, "tokens_out has to be a number"),
        ({"requests_per_year": "NaN"}, ImpossibleScenario, "requests_per_year"),
        ({"requests_per_year": 1.5}, ImpossibleScenario, "whole number"),
        ({"requests_per_year": True}, ImpossibleScenario, "has to be a number"),
        ({"requests_per_year": None}, ImpossibleScenario, "is needed"),
        ({"seconds_per_request": "Infinity"}, ImpossibleScenario, "seconds_per_request"),
        ({"context_tokens": 500}, ImpossibleScenario, "840 tokens in and out does not fit into a context of 500"),
        ({"context_tokens": 200_000}, ImpossibleScenario, "takes a context of 1 to 131,072 tokens"),
        ({"hosted": []}, ImpossibleScenario, "MODEL:DTYPE:INSTANCE"),
        ({"hosted": ["a:b"]}, ImpossibleScenario, "MODEL:DTYPE:INSTANCE"),
        ({"hosted": [f"{LLAMA}:int3:ml.g5.12xlarge"]}, ImpossibleScenario, "int3"),
        ({"hosted": ["Llama-4:int4:ml.g5.12xlarge"]}, UnknownModel, "Llama-4"),
        ({"hosted": [f"{LLAMA}:int4:ml.g5.13xlarge"]}, UnknownInstance, "ml.g5.13xlarge"),
        ({"region": "mars-1"}, UnknownInstance, "mars-1"),
        ({"apis": ["gpt"]}, UnknownTokenPrice, "gpt"),
        ({"apis": "claude"}, ImpossibleScenario, "names of APIs"),
        ({"lora_rank": 16}, ImpossibleScenario, "both a rank and a number"),
        ({"colour": "red"}, ImpossibleScenario, "no input colour"),
        ({"name": "x" * 121}, ImpossibleScenario, "at most 120"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_words(
    changes: dict[str, Any], refusal: type[DomainError], words: str
) -> None:
    with pytest.raises(refusal) as refused:
        answer(**changes)
    assert words in refused.value.detail


def test_hosted_may_be_written_as_objects() -> None:
    as_objects = [{"base_model": LLAMA, "dtype": "int8", "instance_type": "ml.g5.48xlarge"}]
    assert scenario(hosted=as_objects) == scenario(hosted=[INT8])
