"""Token limits belong to a tier version and are final with it; a tenant's config carries those of its own."""

from typing import Any

import pytest
from django.db import DatabaseError, transaction

from core import clock
from provisioning import runtime_config
from provisioning.runtime_config import Windows
from provisioning.services.catalogue import TOKENS, token_limits
from tenants.models import TierLimit, TierVersion
from tenants.queries import token_limits_of
from tenants.services.tiers import TokenLimit, define_tier
from tests.factories import LIMITS, make_tenant

DAY = TokenLimit("total_tokens", "day", 1000, "soft")
MINUTE = TokenLimit("input_tokens", "minute", 10, "hard")


def make_tier(*tokens: TokenLimit) -> TierVersion:
    return define_tier(key="tight", name="Tight", position=0, limits=LIMITS, tokens=tokens)


@pytest.mark.django_db
def test_a_tenant_has_the_limits_of_its_tier_in_a_fixed_order() -> None:
    make_tier(DAY, MINUTE)
    tight, free = make_tenant(tier_key="tight"), make_tenant()
    found = [(each.meter, each.window, each.amount, each.mode) for each in token_limits_of(tight.pk, clock.now())]
    assert found == [("input_tokens", "minute", 10, "hard"), ("total_tokens", "day", 1000, "soft")]
    assert token_limits_of(free.pk, clock.now()) == []


@pytest.mark.django_db
@pytest.mark.parametrize("change", ["insert", "update", "delete", "move"])
def test_the_limits_of_a_published_version_are_final(change: str) -> None:
    version = make_tier(DAY)
    limit = TierLimit.objects.get()
    draft = TierVersion.objects.create(tier=version.tier, number=2, **{n: getattr(LIMITS, n) for n in LIMITS.__slots__})
    changes: dict[str, Any] = {
        "insert": lambda: TierLimit.objects.create(
            tier_version=version, meter="input_tokens", window="day", amount=1, mode="hard"
        ),
        "update": lambda: TierLimit.objects.filter(pk=limit.pk).update(amount=5),
        "delete": lambda: TierLimit.objects.filter(pk=limit.pk).delete(),
        "move": lambda: TierLimit.objects.filter(pk=limit.pk).update(tier_version=draft),
    }
    with pytest.raises(DatabaseError, match="final"), transaction.atomic():
        changes[change]()
    assert [each.amount for each in TierLimit.objects.all()] == [1000]
    TierLimit.objects.create(tier_version=draft, meter="input_tokens", window="day", amount=1, mode="hard")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "wrong",
    [
        TokenLimit("requests", "day", 1, "hard"),
        TokenLimit("input_tokens", "week", 1, "hard"),
        TokenLimit("input_tokens", "day", 0, "hard"),
        TokenLimit("input_tokens", "day", 1, "off"),
    ],
)
def test_the_database_knows_the_words(wrong: TokenLimit) -> None:
    with pytest.raises(DatabaseError, match="tier_limit_known"):
        make_tier(wrong)


def test_the_document_carries_windows_and_always_the_zone_that_ends_them() -> None:
    said: dict[str, Any] = {"tenant": "ten_" + "0" * 26, "status": "active", "region": "us-west-2", "routes": {}}
    windows = Windows("Asia/Tokyo", (("total_tokens", "day", 1000, "soft"),))
    with_them = runtime_config.document(
        runtime_config.content(**said, windows=windows), version=1, published_at=clock.now()
    )
    assert with_them["limits"] == {
        "max_output_tokens": 4096,
        "timezone": "Asia/Tokyo",
        "windows": [{"meter": "total_tokens", "window": "day", "amount": 1000, "mode": "soft"}],
    }
    without = runtime_config.content(**said, windows=Windows("UTC"))
    assert without["limits"] == {"max_output_tokens": 4096, "timezone": "UTC"}, "allowances end with the month too"


def test_the_example_tiers_leave_room_for_the_demo() -> None:
    for key in TOKENS:
        amounts = {each.window: each.amount for each in token_limits(key)}
        assert amounts["month"] > 5 * 12_000_000
        assert amounts["minute"] >= 1_000_000
