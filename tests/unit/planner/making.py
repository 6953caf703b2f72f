"""Scenarios and shortcuts for the planner's tests."""

from datetime import date
from typing import Any

from provisioning.planner.catalogue import load_catalogue
from provisioning.planner.evaluate import Evaluation, evaluate
from provisioning.planner.memory import MemoryPlan, MemoryWish, plan_memory
from provisioning.planner.presets import PUBLISHED_EXAMPLE, load_presets
from provisioning.planner.scenario import Scenario, read_scenario

TODAY = date(2026, 11, 20)
CATALOGUE = load_catalogue()
LLAMA = "Llama-3.1-70B-Instruct"
INT4, INT8 = f"{LLAMA}:int4:ml.g5.12xlarge", f"{LLAMA}:int8:ml.g5.48xlarge"


def scenario(**changes: Any) -> Scenario:
    """The published example with some inputs changed."""
    return read_scenario({**load_presets()[PUBLISHED_EXAMPLE].scenario, **changes}, CATALOGUE)


def answer(**changes: Any) -> Evaluation:
    """The published example's answer with some inputs changed."""
    return evaluate(scenario(**changes), CATALOGUE, TODAY)


def memory(dtype: str, instance: str, context: int = 131072, model: str = LLAMA, **wish: Any) -> MemoryPlan:
    """A model on an instance of us-west-2."""
    wished = MemoryWish(CATALOGUE.base_model(model), dtype, wish.pop("cache_dtype", dtype), context, **wish)
    return plan_memory(wished, CATALOGUE.instance(instance, "us-west-2"))
