"""What becomes of a share of the requests: a table over what was seen of both versions."""

from dataclasses import replace
from decimal import Decimal

import pytest

from models_registry.canary import ADVANCE, HOLD, ROLL_BACK, Plan, Seen, decide, errors_of

PLAN = Plan(steps=(10, 50), bake_minutes=30, min_requests=100)
GOOD, OLD = Seen(100, 0, 10_000), Seen(900, 0, 90_000)


@pytest.mark.parametrize(
    ("new", "old", "is_baked", "is_paused", "what", "code"),
    [
        (GOOD, OLD, True, False, ADVANCE, ""),
        (GOOD, OLD, False, False, HOLD, "baking"),
        (GOOD, OLD, True, True, HOLD, "paused"),
        (Seen(99, 0, 9_900), OLD, True, False, HOLD, "few_requests"),
        (GOOD, Seen(99, 0, 9_900), True, False, HOLD, "few_requests"),
        (Seen(), OLD, True, False, HOLD, "few_requests"),
        # Errors: five per cent are allowed, one more is not, whether it bakes or is paused.
        (Seen(95, 5, 9_500), OLD, True, False, ADVANCE, ""),
        (Seen(94, 6, 9_400), OLD, False, False, ROLL_BACK, "canary_errors"),
        (Seen(94, 6, 9_400), OLD, True, True, ROLL_BACK, "canary_errors"),
        (Seen(0, 100, 0), OLD, False, False, ROLL_BACK, "canary_errors"),
        # Too few to say, however bad they look.
        (Seen(0, 99, 0), OLD, True, False, HOLD, "few_requests"),
        # What fails with the old version too is not the new one's doing.
        (Seen(80, 20, 8_000), Seen(800, 200, 80_000), True, False, ADVANCE, ""),
        (Seen(79, 21, 7_900), Seen(800, 200, 80_000), True, False, ROLL_BACK, "canary_errors"),
        # Latency: half as long again is allowed, more is not.
        (Seen(100, 0, 15_000), OLD, True, False, ADVANCE, ""),
        (Seen(100, 0, 15_001), OLD, False, False, ROLL_BACK, "canary_latency"),
        # Nothing to compare with.
        (Seen(100, 0, 90_000), Seen(50, 0, 5_000), False, False, HOLD, "baking"),
        (Seen(100, 0, 90_000), Seen(200, 0, 0), True, False, ADVANCE, ""),
    ],
)
def test_a_share_goes_on_waits_or_is_rolled_back(new, old, is_baked, is_paused, what, code):
    found = decide(PLAN, new=new, old=old, is_baked=is_baked, is_paused=is_paused)
    assert (found.what, found.code) == (what, code)
    assert found.detail


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"steps": ()}, "steps"),
        ({"steps": (0,)}, "steps"),
        ({"steps": (100,)}, "steps"),
        ({"steps": (50, 50)}, "steps"),
        ({"steps": (50, 10)}, "steps"),
        ({"steps": tuple(range(1, 12))}, "steps"),
        ({"bake_minutes": 0}, "bake_minutes"),
        ({"bake_minutes": 1441}, "bake_minutes"),
        ({"max_error_share": Decimal(1)}, "max_error_share"),
        ({"max_error_share": Decimal("-0.1")}, "max_error_share"),
        ({"max_latency_ratio": Decimal("0.9")}, "max_latency_ratio"),
        ({"min_requests": 0}, "min_requests"),
    ],
)
def test_a_plan_that_cannot_be_followed_says_what_is_wrong(changes, field):
    assert [name for name, _ in errors_of(replace(PLAN, **changes))] == [field]


def test_a_plan_of_defaults_is_fine():
    assert errors_of(Plan(steps=(10, 50))) == []
