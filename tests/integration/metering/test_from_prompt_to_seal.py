"""The whole way with nothing standing in: a provisioned tenant, the kit, CloudWatch, collection, a seal."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

from core.actors import SYSTEM
from core.periods import Period
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
    from local_stack.emulator import EmulatorClient


def test_what_was_sent_is_what_is_sealed(db: None, aws: EmulatorClient) -> None:
    from provisioning.services.catalogue import seed_catalogue
    from tests.integration.provisioning.world import World

    aws.delays(endpoint={"looks": 2}, component={"looks": 2})
    seed_catalogue(actor=SYSTEM)
    world, meterage = World(aws), Meterage(aws)
    shared, own = world.sign_up("acme", "advanced"), world.sign_up("zenith", "premium")
    world.settle(shared, own)
    first_hour = meterage.start + timedelta(hours=1)
    period = Period(first_hour, first_hour + timedelta(days=3))
    lanes = [Lane(kit_of(tenant.public_id, aws), "base") for tenant in (shared, own)]
    trace = make_trace(seed=5, requests=240)
    totals = {tenant.public_id: TenantResult(tenant.public_id) for tenant in (shared, own)}
    for piece in slices(trace, period):
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
    for tenant, line in ((shared, "shared-endpoint"), (own, "dedicated")):
        sent = totals[tenant.public_id]
        assert sealed[tenant.pk, "input_tokens"] == (line, "base", sent.input_tokens_sent)
        assert sealed[tenant.pk, "output_tokens"] == (line, "base", sent.output_tokens_asked)
        assert sealed[tenant.pk, "requests"] == (line, "base", sent.requests_sent)
    assert sum(total.input_tokens_sent for total in totals.values()) == trace.context_tokens
    assert sealed[own.pk, "endpoint_seconds"] == ("dedicated", "", 3 * 86400)
    assert (shared.pk, "endpoint_seconds") not in sealed
    assert not UnattributedUsage.objects.exists()


def kit_of(public_id: str, aws: EmulatorClient) -> Kit:
    key = tenant_key(os.environ["CP_CONFIG_SIGNING_KEY"], public_id)
    clock = lambda: float(aws.get("clock")["now"])  # noqa: E731
    return Kit(public_id, key, os.environ["CP_CONFIG_TABLE"], clock, metric_period_seconds=900)
