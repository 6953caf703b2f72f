"""The whole way with nothing standing in: a provisioned tenant, the kit, CloudWatch, collection, a seal, a line."""

from __future__ import annotations

import os
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from core import clock
from core.actors import SYSTEM
from core.periods import Period, floor_to_bucket, month_containing
from dataplane import Kit
from dataplane.config import tenant_key
from dataplane.replay import Lane, TenantResult, replay
from dataplane.trace import make_trace, slices
from metering import queries
from metering.models import UnattributedUsage
from metering.services.collection import collect_usage
from metering.services.sealing import seal_usage
from tests.factories import TESTER
from tests.integration.metering.meterage import Meterage

if TYPE_CHECKING:
    from datetime import datetime

    from local_stack.emulator import EmulatorClient


CACHED_WORDS = 5


def test_what_was_sent_is_what_is_sealed_and_no_token_is_billed_twice(db: None, aws: EmulatorClient) -> None:
    from billing.services.invoicing import draft_invoices
    from billing.services.seeding import seed_rate_cards
    from provisioning.services.catalogue import seed_catalogue
    from tests.integration.provisioning.world import World

    aws.delays(endpoint={"looks": 2}, component={"looks": 2})
    seed_catalogue(actor=SYSTEM)
    seed_rate_cards(actor=SYSTEM)
    world, meterage = World(aws), Meterage(aws)
    meterage.move_to(month_containing(clock.now() + timedelta(days=5), "UTC").start)  # one month's invoice holds it all
    shared, own = world.sign_up("acme", "advanced"), world.sign_up("zenith", "premium")
    world.settle(shared, own)
    first_hour = floor_to_bucket(clock.now(), 3600) + timedelta(hours=1)
    period = Period(first_hour, first_hour + timedelta(days=3))
    price_cached_tokens("advanced", since=first_hour)
    lanes = [Lane(kit_of(tenant.public_id, aws), "base") for tenant in (shared, own)]
    trace = make_trace(seed=5, requests=240)
    totals = {tenant.public_id: TenantResult(tenant.public_id) for tenant in (shared, own)}
    cached = [0, 0]
    for number, piece in enumerate(slices(trace, period)):
        if number == 1:  # from the second piece on every prompt's beginning is read from a cache
            aws.post("inference", {"cache_read_words": CACHED_WORDS})
        if number:
            for request in piece.requests:
                cached[request.number % 2] += min(CACHED_WORDS, request.context_tokens)
        meterage.move_to(piece.end)
        for public_id, result in replay(piece, lanes).items():
            totals[public_id].add(result)
        collect_usage()
    assert all(total.is_exact for total in totals.values()), totals
    meterage.settle(period.end)

    seals = seal_usage(tenant_ids=[shared.pk, own.pk], period_start=period.start, period_end=period.end, actor=TESTER)
    sealed = {
        (row.tenant_id, row.meter): (row.line, row.adapter_version, row.quantity)
        for row in queries.summarise([seal.pk for seal in seals])
    }
    for tenant, line, spared in ((shared, "shared-endpoint", cached[0]), (own, "dedicated", cached[1])):
        sent = totals[tenant.public_id]
        assert sealed[tenant.pk, "cached_input_tokens"] == (line, "base", spared) and spared > 0
        assert sealed[tenant.pk, "input_tokens"] == (line, "base", sent.input_tokens_sent - spared)
        assert sealed[tenant.pk, "output_tokens"] == (line, "base", sent.output_tokens_asked)
        assert sealed[tenant.pk, "requests"] == (line, "base", sent.requests_sent)
    assert sum(total.input_tokens_sent for total in totals.values()) == trace.context_tokens
    assert sealed[own.pk, "endpoint_seconds"] == ("dedicated", "", 3 * 86400)
    assert (shared.pk, "endpoint_seconds") not in sealed
    assert not UnattributedUsage.objects.exists()

    drafts = draft_invoices(tenant_ids=[shared.pk, own.pk], period=period, actor=TESTER)
    priced, unpriced = sorted(drafts, key=lambda draft: draft.tenant_id)
    lines = {line.meter: line for line in priced.lines.all()}
    said = [(lines[meter].quantity, lines[meter].amount) for meter in ("input_tokens", "cached_input_tokens")]
    worked_through = totals[shared.public_id].input_tokens_sent - cached[0]
    assert said == [(worked_through, Decimal(worked_through)), (cached[0], Decimal(cached[0]) / 10)]
    assert "cached_input_tokens" not in priced.uncharged
    assert unpriced.uncharged["cached_input_tokens"] == str(cached[1]), "without a rate nothing is charged, and said so"
    assert "cached_input_tokens" not in {line.meter for line in unpriced.lines.all()}


def price_cached_tokens(tier: str, *, since: datetime) -> None:
    """A dollar for a token worked through, a tenth of it for one read from a cache."""
    from billing.services.rate_cards import RateDraft, draft_rate_card, price_tier, publish_rate_card
    from tenants.models import TierVersion

    prices = {"input_tokens": "1.00", "cached_input_tokens": "0.10", "output_tokens": "0.01", "requests": "0.01"}
    rates = [
        RateDraft(
            key=meter, model="per_unit", meter=meter, parameters={"unit_price": price, "per": 1}, description=meter
        )
        for meter, price in prices.items()
    ]
    card = draft_rate_card(name="Cached", currency="USD", rates=rates, actor=TESTER)
    publish_rate_card(card_id=card.pk, actor=TESTER)
    version = TierVersion.objects.get(tier__key=tier, number=1)
    price_tier(tier_version_id=version.pk, card_id=card.pk, effective_from=since, actor=TESTER)


def kit_of(public_id: str, aws: EmulatorClient) -> Kit:
    key = tenant_key(os.environ["CP_CONFIG_SIGNING_KEY"], public_id)
    clock = lambda: float(aws.get("clock")["now"])  # noqa: E731
    return Kit(public_id, key, os.environ["CP_CONFIG_TABLE"], clock, metric_period_seconds=900)
