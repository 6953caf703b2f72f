"""Defining tiers. A published version never changes; a new promise is a new version."""

from dataclasses import asdict, dataclass

from django.db import transaction

from core import clock
from tenants.models import Tier, TierVersion


@dataclass(frozen=True, slots=True)
class TierLimits:
    """What a tier version allows; bytes are of one uploaded adapter, hours of a warm previous version."""

    max_adapters: int
    max_adapter_bytes: int
    max_lora_rank: int
    keep_previous_warm: bool
    warm_window_hours: int


def define_tier(*, key: str, name: str, position: int, limits: TierLimits) -> TierVersion:
    """Make a tier with its first published version; one that is there already stays as it is and is answered."""
    with transaction.atomic(durable=True):
        tier, _ = Tier.objects.get_or_create(key=key, defaults={"name": name, "position": position})
        version, _ = TierVersion.objects.get_or_create(
            tier=tier, number=1, defaults={**asdict(limits), "published_at": clock.now()}
        )
    return version
