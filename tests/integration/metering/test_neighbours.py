"""Shared lines: who uses what share, who suffers, and what to do; the same on the page and over REST."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from core import clock
from metering.queries.neighbours import Neighbour
from metering.services.neighbours import SHOWN, advise, shared_lines
from provisioning.limit_queries import list_shared_lines
from provisioning.models import LimitAlert, PublishedConfig, TurnedAwayHour
from provisioning.services.catalogue import seed_catalogue
from provisioning.services.limits import reserve_tokens
from tenants.models import Tenant
from tests.factories import TESTER, make_tenant
from tests.integration.api.client import caller
from tests.support.billing_world import World

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def hour() -> datetime:
    return clock.now().replace(minute=0, second=0, microsecond=0)


@pytest.fixture
def pool(aws: object, hour: datetime) -> tuple[Tenant, Tenant]:
    """Loud uses 80 % of the pooled line; the line turned Quiet away, and Loud's limits refused it."""
    seed_catalogue(actor=TESTER)
    loud, quiet = make_tenant(name="Loud", slug="loud"), make_tenant(name="Quiet", slug="quiet")
    world = World(lambda at: None)
    for tenant, tokens in ((loud, 8000), (quiet, 2000)):
        world.use(tenant, "input_tokens", tokens - 500, at=hour - HOUR)
        world.use(tenant, "output_tokens", 500, at=hour - HOUR)
        world.use(tenant, "requests", 20, at=hour - HOUR)
    world.use(loud, "busy_milliseconds", 4000, at=hour - HOUR)
    world.use(quiet, "input_tokens", 10**6, at=hour - 3 * HOUR)
    world.use(quiet, "input_tokens", 10**6, at=hour - HOUR, line="dedicated")
    away = [(quiet, "pooled", 41), (quiet, "dedicated", 99), (loud, "", 3)]
    for tenant, line, times in away:
        TurnedAwayHour.objects.create(tenant=tenant, line=line, hour=hour - HOUR, times=times)
    windows = [{"meter": "total_tokens", "window": "day", "amount": 1000, "mode": "hard"}]
    limits = {"max_output_tokens": 4096, "timezone": "UTC", "windows": windows}
    document = {"status": "active", "limits": limits, "routes": {}}
    PublishedConfig.objects.create(
        tenant=loud, version=1, document=document, sha256="0" * 64, signature="0" * 64, is_current=True
    )
    reserve_tokens(tenant_id=loud.pk, input_tokens=960, output_tokens=0)
    return loud, quiet


def test_who_uses_what_and_who_suffers(pool: Any, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    lines = list(list_shared_lines(None).order_by("name"))
    assert [line.name for line in lines] == ["pooled", "shared-endpoint"]
    with django_assert_num_queries(2):
        pooled, other = shared_lines(lines, hours=2)
    assert (other.on_it, other.advice, pooled.tokens, pooled.tenants) == ([], [], 10_000, 2)
    loud, quiet = pooled.on_it
    assert (loud.use.name, loud.use.share_percent, loud.use.milliseconds) == ("Loud", 80, 200.0)
    assert (loud.use.turned_away, loud.use.refused) == (0, 3)
    assert loud.fullest is not None and (loud.fullest.window, loud.fullest.percent) == ("day", 96)
    assert (quiet.use.share_percent, quiet.use.milliseconds, quiet.use.turned_away) == (20, None, 41)
    assert quiet.fullest is None
    assert pooled.advice[0].startswith("The line turned away Quiet (41 times). Loud uses 80 % of it: move it")
    assert pooled.advice[1].startswith("Loud was refused 3 times by its own token limits")


def test_the_list_is_bounded_and_a_small_sufferer_is_on_it(pool: Any, hour: datetime) -> None:
    world = World(lambda at: None)
    for number in range(SHOWN + 2):
        world.use(make_tenant(), "input_tokens", 5000 + number, at=hour - HOUR)
    pooled = shared_lines(list(list_shared_lines(None).filter(name="pooled")), hours=2)[0]
    assert pooled.tenants == SHOWN + 4
    first, *_, last = pooled.on_it
    assert (first.use.name, last.use.name) == ("Loud", "Quiet"), "who uses least suffers most"
    assert len(pooled.on_it) == SHOWN + 1


def test_without_somebody_dominant_the_line_is_too_small() -> None:
    rows = [Neighbour("pooled", n, f"ten_{n}", f"T{n}", f"t{n}", 40, 4, None, n, 0, 100, 2) for n in (1, 2)]
    assert advise(rows) == [
        "The line turned away T2 (2 times), T1 (1 times). Nobody dominates it: give the line more copies or instances, "
        "or move some tenants to another tier."
    ]
    assert advise([]) == []


def test_over_rest_and_only_for_who_may_see_all(pool: tuple[Tenant, Tenant]) -> None:
    reply = caller("usage.view").get("shared-lines?hours=2").json()
    [pooled] = [each for each in reply["data"] if each["line"] == "pooled"]
    assert [(each["name"], each["share_percent"], each["turned_away"]) for each in pooled["tenants"]] == [
        ("Loud", 80, 0), ("Quiet", 20, 41),
    ]  # fmt: skip
    assert pooled["tenants"][0]["fullest_limit"]["percent"] == 96
    assert caller("usage.view", tenant_id=pool[1].pk).get("shared-lines").json()["data"] == []


def test_the_page_and_the_home_page(
    pool: tuple[Tenant, Tenant], client: Client, hour: datetime, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    from accounts.services import create_operator

    Tenant.objects.filter(pk=pool[0].pk).update(state="active")
    client.force_login(create_operator(name="ann", role="admin", actor=TESTER))
    with django_assert_max_num_queries(25):
        shown = client.get("/usage/shared-lines/?hours=6").content.decode()
    assert "Quiet (41 times)" in shown and "96 % of the day" in shown
    for percent, end in ((50, hour + HOUR), (80, hour + HOUR), (100, hour - HOUR)):
        LimitAlert.objects.create(
            tenant=pool[0], meter="total_tokens", window="day", mode="hard", amount=1000, window_start=hour - 23 * HOUR,
            window_end=end, threshold_percent=percent, used=860,
        )  # fmt: skip
    assert "Loud has used 80 % of its tokens per day" in client.get("/").content.decode()
    assert "80 % reached" in client.get("/tenants/loud/").content.decode()
