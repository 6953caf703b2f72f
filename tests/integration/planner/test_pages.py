"""The planner's pages as an operator sees them."""

import html
import json
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from core import clock
from core.periods import floor_to_bucket
from dashboard.planner_inputs import as_query
from metering.models import UsageBucket
from provisioning.models import CatalogueRow, Scenario, ServingLine
from provisioning.planner.catalogue import write_table
from provisioning.services.catalogue import route_tier, seed_catalogue
from provisioning.services.scenarios import save_scenario
from tenants.models import Tenant
from tenants.queries import tier_version_of
from tenants.states import TenantState
from tests.factories import TESTER, make_tenant
from tests.integration.api.making import make_version
from tests.unit.planner.making import CATALOGUE, scenario

pytestmark = pytest.mark.django_db


def signed_in(role: str = "operator") -> Client:
    """A browser of somebody with this role."""
    user, _ = User.objects.get_or_create(username=role, defaults={"role": role})
    client = Client()
    client.force_login(user)
    return client


def text_of(response: object) -> str:
    """The page as people read it: entities resolved."""
    return html.unescape(response.content.decode())  # type: ignore[attr-defined]


def test_the_page_opens_with_the_published_example_and_its_verdict() -> None:
    response = signed_in("viewer").get(reverse("planner"))
    page = text_of(response)
    assert response.status_code == 200
    assert "one instance runs out of capacity first, at 35,836,364 requests a year" in page
    assert '<p lang="ja">' in page and "先に処理能力が尽きます" in page
    assert "you are here" in page and "Break-even with Claude 3.5 Sonnet (API) at 5,496,133 requests a year" in page
    assert "old price" in page, "prices of 2024 are marked"
    assert 'style="' not in page and "<script>" not in page, "the content policy allows neither"


def test_a_moved_slider_is_answered_with_the_result_alone() -> None:
    address = f"{reverse('planner')}?{as_query(scenario(requests_per_year=60_000_000))}"
    response = signed_in().get(address, headers={"HX-Request": "true"})
    page = text_of(response)
    assert page.lstrip().startswith('<div id="planner-result"')
    assert "on 2 × ml.g5.12xlarge" in page


def test_the_address_of_the_page_gives_the_same_scenario_again() -> None:
    page = text_of(signed_in().get(reverse("planner"), {"preset": "blank"}))
    link = page.partition('data-copy="')[2].partition('"')[0]
    again = text_of(signed_in().get(urlsplit(link).path + "?" + urlsplit(link).query))
    assert parse_qs(urlsplit(link).query)["requests_per_year"] == ["1000000"]
    assert (
        page.partition('verdict-words">')[2].partition("<")[0]
        == again.partition('verdict-words">')[2].partition("<")[0]
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tokens_in": "0"}, "tokens_in has to be from 1"),
        ({"tokens_in": "<b>"}, "tokens_in has to be a number"),
        ({"context_tokens": "19"}, "does not fit into a context of 19"),
        ({"hosted": "Llama-3.1-70B-Instruct:int4:ml.g5.1"}, "The smallest that would do in us-west-2 is"),
        ({"hosted": "x"}, "MODEL:DTYPE:INSTANCE"),
        ({"region": "mars-1"}, "mars-1"),
    ],
)
def test_bad_input_says_what_would_do_and_keeps_the_form(changes: dict[str, str], words: str) -> None:
    query = {"requests_per_year": "1000", "tokens_in": "10", "tokens_out": "10", "seconds_per_request": "1"}
    query |= {"hosted": "Llama-3.1-70B-Instruct:int4:ml.g5.12xlarge"}
    response = signed_in().get(reverse("planner"), query | changes)
    page = text_of(response)
    assert response.status_code == 422
    assert words in page and 'id="planner-inputs"' in page
    assert "<b>" not in response.content.decode()


@pytest.mark.parametrize(
    ("sliders", "shown"),
    [
        ({"lora_slots": "8"}, ("8", "16")),
        ({"lora_slots": "8", "lora_rank": "64"}, ("8", "64")),
        ({"lora_slots": "0", "lora_rank": "64"}, ("0", "0")),
    ],
)
def test_slots_and_rank_are_moved_one_after_the_other(sliders: dict[str, str], shown: tuple[str, str]) -> None:
    query = {key: value for key, value in parse_qs(as_query(scenario())).items() if not key.startswith("lora_")}
    page = text_of(signed_in().get(reverse("planner"), {**query, **sliders}))
    for name, value in zip(("lora_slots", "lora_rank"), shown, strict=True):
        assert f'name="{name}" value="{value}"' in page


def test_a_model_that_does_not_fit_is_an_answer_with_the_smallest_that_would_do() -> None:
    query = as_query(scenario(hosted=["Llama-3.1-70B-Instruct:fp32:ml.g5.xlarge"]))
    page = text_of(signed_in().get(f"{reverse('planner')}?{query}"))
    assert "the fp32 weights need 262.83 GiB" in page and "The smallest that would do" in page
    assert "does not fit" in page


def test_export_as_json_and_csv() -> None:
    query = as_query(scenario())
    shown = json.loads(signed_in().get(f"{reverse('planner-export')}?{query}").content)
    assert shown["cheapest"] == "api:claude-3-haiku"
    table = signed_in().get(f"{reverse('planner-export')}?format=csv&{query}")
    assert table["Content-Disposition"] == 'attachment; filename="scenario.csv"'
    assert len(table.content.decode().splitlines()) == 8
    assert signed_in().get(reverse("planner-export"), {"format": "xls"}).status_code == 404


def test_a_scenario_is_saved_opened_compared_and_deleted() -> None:
    client = signed_in()
    query = as_query(scenario())
    asked = client.get(f"{reverse('scenario-save')}?{query}")
    assert "Save this scenario" in text_of(asked)
    saved = client.post(reverse("scenario-save"), {"name": "Busy", "address": query})
    assert saved.status_code == 302, saved.content
    kept = Scenario.objects.get()
    assert "Busy" in text_of(client.get(reverse("scenario-list")))
    assert "Busy" in text_of(client.get(reverse("planner"), {"saved": kept.public_id}))
    inputs = {**kept.inputs, "requests_per_year": 3_000_000}
    other = save_scenario(tenant_id=None, name="Quiet", inputs=inputs, actor=TESTER)
    page = text_of(client.get(reverse("scenario-compare"), {"scenario": [kept.public_id, other.public_id]}))
    assert "Busy" in page and "Quiet" in page and "3,000,000" in page
    assert "Choose two" in text_of(client.get(reverse("scenario-compare")))
    client.post(reverse("scenario-delete", args=[kept.public_id]))
    assert list(Scenario.objects.values_list("name", flat=True)) == ["Quiet"]


def test_a_viewer_may_plan_and_not_save() -> None:
    client = signed_in("viewer")
    assert client.get(reverse("scenario-save")).status_code == 403
    assert client.post(reverse("catalogue-import")).status_code == 403
    assert "Needs the role operator" in text_of(client.get(reverse("planner")))


def use(tenant: Tenant, hours_ago: int, requests: int, seconds: float = 0, version: str = "adv_1") -> None:
    """One hour of measured usage: 100 tokens in and 50 out for each request, and how long each took if measured."""
    used = {"requests": requests, "input_tokens": 100 * requests, "output_tokens": 50 * requests}
    used |= {"busy_milliseconds": round(1000 * seconds * requests)} if seconds else {}
    for meter, quantity in used.items():
        UsageBucket.objects.create(
            tenant=tenant,
            meter=meter,
            line="pooled",
            adapter_version=version,
            bucket_start=floor_to_bucket(clock.now(), 3600) - timedelta(hours=hours_ago),
            bucket_seconds=3600,
            quantity=quantity,
            source="cloudwatch:us-west-2:ControlPlane/DataPlane",
            fetched_at=clock.now(),
        )


def test_a_tenants_measured_usage_becomes_a_scenario() -> None:
    tenant = make_tenant(name="Beta")
    Tenant.objects.filter(pk=tenant.pk).update(state=TenantState.ACTIVE)
    for hours_ago, requests in ((10, 400), (9, 100), (1, 500)):
        use(tenant, hours_ago, requests)
    page = text_of(signed_in().get(reverse("planner"), {"tenant": tenant.slug}))
    assert "Beta, measured" in page
    assert 'name="requests_per_year" value="876000"' in page, "1,000 in ten hours"
    assert 'name="tokens_in" value="100"' in page and 'name="tokens_out" value="50"' in page
    assert 'name="peak_to_average" value="5"' in page, "500 in an hour over 100 on average"
    of_tier = text_of(signed_in().get(reverse("planner"), {"tier": "basic"}))
    assert 'name="requests_per_year" value="876000"' in of_tier


def test_the_duration_is_the_mean_of_what_was_measured_with_its_requests_and_period() -> None:
    tenant = make_tenant(name="Beta")
    use(tenant, 30, 1_000)
    use(tenant, 10, 300, seconds=2)
    use(tenant, 9, 100, seconds=0.5)
    use(tenant, 9, 5_000, version="adv_unmeasured")
    page = text_of(signed_in().get(reverse("planner"), {"tenant": tenant.slug}))
    end = floor_to_bucket(clock.now(), 3600)
    start, until = end - timedelta(hours=10), end - timedelta(hours=8)
    assert 'name="seconds_per_request" value="1.625"' in page, "700 + 50 over 400"
    assert (
        f"Duration: 1.625 s, the mean of 400 requests whose time was measured, "
        f"from {start:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC." in page
    )
    assert f"Load: 6,400 requests from {end - timedelta(hours=30):%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC." in page


def test_without_a_measured_duration_that_of_the_published_example_is_taken_and_said() -> None:
    tenant = make_tenant(name="Beta")
    use(tenant, 3, 50)
    page = text_of(signed_in().get(reverse("planner"), {"tenant": tenant.slug}))
    assert 'name="seconds_per_request" value="4.4"' in page
    assert "Duration: 4.4 s of the published example, because none was measured." in page


def test_what_started_from_a_tenants_usage_is_saved_as_its_scenario() -> None:
    client, tenant = signed_in(), make_tenant(name="Beta")
    use(tenant, 3, 50)
    page = text_of(client.get(reverse("planner"), {"tenant": tenant.slug}))
    address = page.partition('hx-get="/planner/save/?')[2].partition('"')[0]
    client.post(reverse("scenario-save"), {"name": "Beta in November", "address": address})
    kept = Scenario.objects.get()
    assert (kept.tenant, kept.name, kept.inputs["tokens_in"]) == (tenant, "Beta in November", "100")


def test_a_tenant_without_usage_is_told_so() -> None:
    response = signed_in().get(reverse("planner"), {"tenant": make_tenant().slug})
    assert response.status_code == 409
    assert "has no requests in the last 28 days" in text_of(response)


def test_a_release_is_asked_about_with_the_memory_of_its_line() -> None:
    tenant = make_tenant()
    seed_catalogue(actor=TESTER)
    version = make_version(tenant)
    route_tier(tier_version_id=tier_version_of(tenant.pk, clock.now()).pk, lines=list(ServingLine.objects.all()[:1]))
    page = text_of(signed_in().get(reverse("version-release", args=[version.public_id])))
    assert "Memory on pooled (ml.g5.2xlarge): tiny-llama and 8 slots of rank 64 leave room for" in page


def test_prices_are_imported_after_their_changes_were_shown() -> None:
    client = signed_in()
    prices = client.get(reverse("catalogue-download"), {"table": "api_prices"}).content.decode()
    assert prices == write_table("api_prices", CATALOGUE.rows["api_prices"].values())
    text = prices.replace("Claude 3 Haiku,0.25", "Claude 3 Haiku,0.30")
    shown = client.post(reverse("catalogue-import"), {"table": "api_prices", "text": text, "step": "preview"})
    assert "usd_per_million_tokens_in: 0.25" in text_of(shown) and "usd_per_million_tokens_in: 0.30" in text_of(shown)
    assert not CatalogueRow.objects.exists()
    done = client.post(reverse("catalogue-import"), {"table": "api_prices", "text": text, "step": "import"})
    assert done.status_code == 302
    assert "0.30" in text_of(client.get(reverse("planner-catalogue")))
    refused = client.post(reverse("catalogue-import"), {"table": "api_prices", "text": "x,y", "step": "import"})
    assert refused.status_code == 422 and "has to name these columns" in text_of(refused)
