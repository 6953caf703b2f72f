"""Rows for tests, made by the real services."""

import itertools
from typing import Any

from core.actors import Actor
from tenants.models import Tenant
from tenants.services.onboarding import sign_up_tenant
from tenants.services.tiers import TierLimits, define_tier

TESTER = Actor("person", "usr_test", "tester", "test-request")
LIMITS = TierLimits(
    max_adapters=3, max_adapter_bytes=1 << 30, max_lora_rank=64, keep_previous_warm=True, warm_window_hours=24
)

_numbers = itertools.count(1)


def make_tier(key: str = "basic") -> None:
    """A published tier of that key, unless it is there."""
    define_tier(key=key, name=key.title(), position=0, limits=LIMITS)


def make_tenant(**details: Any) -> Tenant:
    """A signed-up tenant on the basic tier; any argument of `sign_up_tenant` may be given."""
    number = next(_numbers)
    details = {"name": f"Tenant {number}", "slug": f"t{number}", "tier_key": "basic", "actor": TESTER, **details}
    make_tier(details["tier_key"])
    return sign_up_tenant(**details)
