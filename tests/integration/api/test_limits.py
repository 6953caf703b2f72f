"""Token limits over REST: the same windows and the same table as the kit's."""

import os
from typing import Any

import boto3
import pytest

from aws import connect
from billing.services.seeding import seed_rate_cards
from core.clock import now
from dataplane.budgets import Tokens, budgets_of
from dataplane.limit_table import LimitTable
from provisioning.models import PublishedConfig
from provisioning.runtime_config import Allowance, Route, Target
from provisioning.services.catalogue import seed_catalogue
from provisioning.services.limits import window_use
from tenants.models import Tenant
from tests.factories import TESTER, make_tenant
from tests.integration.api.client import Caller, caller, refused

pytestmark = pytest.mark.django_db
HARD = {"meter": "total_tokens", "window": "month", "amount": 1000, "mode": "hard"}
SOFT = {"meter": "output_tokens", "window": "day", "amount": 50, "mode": "soft"}


def publish(tenant: Tenant, *windows: dict[str, Any], status: str = "active") -> None:
    """What the tenant's data planes are told."""
    limits = {"max_output_tokens": 4096} | ({"timezone": "Asia/Tokyo", "windows": list(windows)} if windows else {})
    PublishedConfig.objects.filter(tenant=tenant).delete()
    PublishedConfig.objects.create(
        tenant=tenant,
        version=1,
        document={"tenant": tenant.public_id, "status": status, "limits": limits, "routes": {}},
        sha256="0" * 64,
        signature="0" * 64,
        is_current=True,
    )


@pytest.fixture
def acme(aws: object) -> Tenant:
    tenant = make_tenant(slug="acme")
    publish(tenant, HARD, SOFT)
    return tenant


@pytest.fixture
def plane(acme: Tenant) -> Caller:
    return caller("limits.use", tenant_id=acme.pk)


def route(tenant: Tenant, line: str, allowance: Allowance | None, *others: str) -> None:
    """Lead the tenant's route there first, and then to the others."""
    targets = (
        Target(
            name, "api", "1" * 12, "us-west-2", profile="p", model="m", allowance=allowance if name == line else None
        )
        for name in (line, *others)
    )
    config = PublishedConfig.objects.get(tenant=tenant)
    config.document["routes"] = {"base": Route(tuple(targets)).as_document()}
    config.save()


def reserve(plane: Caller, tokens_in: int, tokens_out: int, **options: Any) -> Any:
    body = {"tenant": "acme", "input_tokens": tokens_in, "max_output_tokens": tokens_out}
    return plane.post("limits/reserve", body, **options)


def settle(plane: Caller, reservation: str, tokens_in: int, tokens_out: int, tenant: str = "acme") -> Any:
    body = {"tenant": tenant, "reservation": reservation, "input_tokens": tokens_in, "output_tokens": tokens_out}
    return plane.post("limits/settle", body)


def used(tenant: Tenant) -> list[int]:
    use = window_use(tenant_id=tenant.pk)
    assert use is not None
    return [each.used for each in use]


def test_what_is_reserved_counts_until_the_truth_is_known(plane: Caller, acme: Tenant) -> None:
    held = reserve(plane, 300, 40)
    assert held.status_code == 201, held.content
    assert held.json()["over"] == []
    assert used(acme) == [340, 40]
    settled = settle(plane, held.json()["id"], 100, 20)
    assert (settled.status_code, settled.json()["counted"]) == (200, True)
    assert settle(plane, held.json()["id"], 100, 20).json()["counted"] is False
    assert used(acme) == [120, 20]


def test_a_full_window_is_429_with_the_time_to_wait(plane: Caller, acme: Tenant) -> None:
    reserve(plane, 900, 10)
    response = reserve(plane, 100, 10)
    assert refused(response, 429, "limit_exceeded")["retryable"] is True
    [month, _] = window_use(tenant_id=acme.pk) or []
    assert 0 <= int(response["Retry-After"]) - (month.ends_at - now()).total_seconds() <= 2
    assert used(acme) == [910, 10]


def test_a_request_larger_than_the_window_need_not_wait(plane: Caller) -> None:
    response = reserve(plane, 1000, 1)
    refused(response, 422, "request_larger_than_limit")
    assert "Retry-After" not in response


def test_over_a_soft_limit_is_told(plane: Caller) -> None:
    assert reserve(plane, 1, 60).json()["over"] == [{"meter": "output_tokens", "window": "day"}]


def test_a_used_allowance_sends_to_the_next_line_before_anybody_is_refused(plane: Caller, acme: Tenant) -> None:
    route(acme, "strong-api", Allowance("month", 100), "cheap-api")
    on_strong = {"tenant": "acme", "input_tokens": 60, "max_output_tokens": 20, "line": "strong-api"}
    held = plane.post("limits/reserve", on_strong)
    assert held.status_code == 201 and used(acme) == [80, 20, 80]
    full = plane.post("limits/reserve", on_strong)
    problem = full.json()
    assert (full.status_code, problem["code"]) == (429, "limit_exceeded")
    assert "allowance of line strong-api" in problem["detail"] and "next line of the route" in problem["hint"]
    assert plane.post("limits/reserve", on_strong | {"line": "cheap-api"}).status_code == 201
    assert settle(plane, held.json()["id"], 10, 5).json()["counted"] is True
    assert used(acme) == [95, 25, 15], "settling gives back to the allowance too"
    unknown = plane.post("limits/reserve", on_strong | {"line": "pooled"})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_line")
    [degrade] = connect.limit_store().degrades(acme.public_id)
    assert (degrade.line, degrade.to, degrade.reason) == ("strong-api", "next", "limit_exceeded")


def test_the_kit_and_this_door_share_a_budget(plane: Caller, acme: Tenant) -> None:
    client = boto3.client("dynamodb")
    table = LimitTable(client, os.environ["CP_LIMITS_TABLE"], acme.public_id)
    limits = PublishedConfig.objects.get(tenant=acme).document["limits"]
    held = table.reserve(budgets_of(limits).counters(now().timestamp()), Tokens(950, 0), now().timestamp())
    refused(reserve(plane, 60, 0), 429, "limit_exceeded")
    assert settle(plane, held.id, 10, 0).json()["counted"] is True
    assert reserve(plane, 60, 0).status_code == 201


def test_the_same_idempotency_key_reserves_once(plane: Caller, acme: Tenant) -> None:
    first, again = (reserve(plane, 10, 0, idempotency_key="one") for _ in range(2))
    assert first.json() == again.json()
    assert used(acme) == [10, 0]


@pytest.mark.parametrize("reservation", ["rsv_0000000000000000", "rsv_" + "0" * 24, "../held", "x"])
def test_an_unknown_reservation_is_refused(plane: Caller, reservation: str) -> None:
    problem = refused(settle(plane, reservation, 1, 1), 422, "reservation_unknown")
    assert problem["errors"][0]["pointer"] == "/reservation"


def test_another_tenant_can_neither_reserve_nor_settle_here(plane: Caller, acme: Tenant) -> None:
    held = reserve(plane, 10, 0).json()["id"]
    other = make_tenant(slug="other")
    publish(other, HARD)
    stranger = caller("limits.use", tenant_id=other.pk)
    refused(reserve(stranger, 10, 0), 404, "not_found")
    refused(settle(stranger, held, 0, 0), 404, "not_found")
    refused(settle(stranger, held, 0, 0, tenant="other"), 422, "reservation_unknown")
    assert used(acme) == [10, 0]


@pytest.mark.parametrize("status", ["suspended", "withdrawn"])
def test_who_is_not_served_reserves_nothing_but_settles_what_is_under_way(
    plane: Caller, acme: Tenant, status: str
) -> None:
    held = reserve(plane, 10, 0).json()["id"]
    publish(acme, HARD, SOFT, status=status)
    refused(reserve(plane, 10, 0), 409, "tenant_not_served")
    assert settle(plane, held, 5, 0).json()["counted"] is True
    refused(reserve(caller("limits.use"), 1, 1), 409, "tenant_not_served")


def test_without_limits_everything_passes_and_nothing_is_counted(plane: Caller, acme: Tenant) -> None:
    publish(acme)
    held = reserve(plane, 10**8, 10**8)
    assert held.status_code == 201
    assert settle(plane, held.json()["id"], 1, 1).json()["counted"] is True
    assert used(acme) == []


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"input_tokens": -1}, "/input_tokens"),
        ({"input_tokens": 10**9}, "/input_tokens"),
        ({"max_output_tokens": "many"}, "/max_output_tokens"),
        ({"tokens": 1}, "/tokens"),
    ],
)
def test_a_wrong_body_names_its_field(plane: Caller, change: dict[str, Any], pointer: str) -> None:
    body = {"tenant": "acme", "input_tokens": 1, "max_output_tokens": 1} | change
    problem = refused(plane.post("limits/reserve", body), 422, "invalid_body")
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


def test_a_table_that_is_away_is_503_and_an_unknown_on_the_page(plane: Caller, acme: Tenant, settings: Any) -> None:
    settings.ENV = settings.ENV.model_copy(update={"limits_table": "no-such-table"})
    refused(reserve(plane, 1, 1), 503, "aws_unavailable")
    assert window_use(tenant_id=acme.pk) is None


def test_a_departed_tenants_counts_are_erased(plane: Caller, acme: Tenant) -> None:
    settle(plane, reserve(plane, 10, 0).json()["id"], 1, 1)
    assert connect.limit_store().erase(acme.public_id) == 3  # two counters and the settled reservation
    assert used(acme) == [0, 0]


def test_in_and_out_are_limited_apart(plane: Caller, acme: Tenant) -> None:
    apart = [{"meter": f"{way}_tokens", "window": "day", "amount": 100, "mode": "hard"} for way in ("input", "output")]
    publish(acme, *apart)
    assert reserve(plane, 90, 20).status_code == 201
    refused(reserve(plane, 20, 0), 429, "limit_exceeded")
    assert reserve(plane, 10, 80).status_code == 201
    refused(reserve(plane, 0, 1), 429, "limit_exceeded")
    assert used(acme) == [100, 100]


def test_a_tier_version_takes_limits_of_every_meter_window_and_mode(db: None) -> None:
    seed_catalogue(actor=TESTER)
    seed_rate_cards(actor=TESTER)
    kinds = zip(("input_tokens", "output_tokens", "total_tokens"), ("minute", "day", "month"), strict=True)
    modes = ("hard", "soft", "shadow")
    wanted = [
        {"meter": meter, "window": window, "amount": 1000, "mode": mode}
        for (meter, window), mode in zip(kinds, modes, strict=True)
    ]
    body = {
        "tier": "basic", "max_adapters": 1, "max_adapter_bytes": 1 << 20, "max_lora_rank": 8, "lines": ["pooled"],
        "token_limits": wanted,
    }  # fmt: skip
    made = caller("tenants.manage", "tenants.view").post("tier-versions", body)
    assert made.status_code == 201, made.content
    assert sorted(made.json()["token_limits"], key=str) == sorted(wanted, key=str)
