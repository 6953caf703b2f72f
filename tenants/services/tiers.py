"""Defining tiers. A published version never changes; a new promise is a new version."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from django.db import transaction

from core import clock
from tenants.models import Tier, TierLimit, TierVersion


@dataclass(frozen=True, slots=True)
class TierLimits:
    """What a tier version allows; bytes are of one uploaded adapter, hours of a warm previous version."""

    max_adapters: int
    max_adapter_bytes: int
    max_lora_rank: int
    keep_previous_warm: bool
    warm_window_hours: int


@dataclass(frozen=True, slots=True)
class TokenLimit:
    """`amount` tokens of a meter per window; see `tenants.models.TierLimit` for the words."""

    meter: str
    window: str
    amount: int
    mode: str


def define_tier(
    *, key: str, name: str, position: int, limits: TierLimits, tokens: Sequence[TokenLimit] = ()
) -> TierVersion:
    """Make a tier with its first published version; one that is there already stays as it is and is answered."""
    with transaction.atomic(durable=True):
        tier, _ = Tier.objects.get_or_create(key=key, defaults={"name": name, "position": position})
        version, is_new = TierVersion.objects.get_or_create(tier=tier, number=1, defaults=asdict(limits))
        if is_new:
            TierLimit.objects.bulk_create(TierLimit(tier_version=version, **asdict(each)) for each in tokens)
            version.published_at = clock.now()  # last: from here on the database refuses changes
            version.save(update_fields=["published_at"])
    return version
