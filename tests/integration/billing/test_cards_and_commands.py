"""Rate cards, prices that follow each other, and the commands that operators type."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from billing.models import Invoice, RateCard, TierPrice
from billing.rating.parameters import InvalidParameters
from billing.services.invoicing import draft_invoices
from billing.services.rate_cards import (
    CardNotPublished,
    InvalidRateCard,
    PriceInThePast,
    RateDraft,
    draft_rate_card,
    price_tier,
    publish_rate_card,
)
from events.models import Event
from tenants.models import TierVersion
from tests.factories import TESTER

D = Decimal
FEE = RateDraft("fee", "flat", {"amount": "58.00"}, "Fee")
TOKENS = RateDraft("in", "per_unit", {"unit_price": "1", "per": 1_000_000}, "Input tokens", meter="input_tokens")


def basic() -> TierVersion:
    return TierVersion.objects.get(tier__key="basic", number=1)


def publish(*rates: RateDraft, currency: str = "USD") -> RateCard:
    card = draft_rate_card(name="New", currency=currency, rates=rates, actor=TESTER)
    return publish_rate_card(card_id=card.pk, actor=TESTER)


def test_a_price_change_inside_a_month_splits_it_at_the_hour(world, october) -> None:
    tenant = world.tenant()
    middle = datetime(2026, 10, 16, 12, 25, tzinfo=UTC)
    cut = middle.replace(minute=0)
    world.use(tenant, "input_tokens", 1_000_000, at=cut - timedelta(hours=1))
    world.use(tenant, "input_tokens", 1_000_000, at=cut)
    price_tier(tier_version_id=basic().pk, card_id=publish(FEE, TOKENS).pk, effective_from=middle, actor=TESTER)
    [draft] = draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)
    share = D(15 * 24 + 12) / (31 * 24)
    cent = D("0.01")
    assert [(line.description, line.amount) for line in draft.lines.order_by("position")] == [
        ("Basic platform fee", (29 * share).quantize(cent)),
        ("Input tokens", D("0.60")),
        ("Fee", (58 * (1 - share)).quantize(cent)),
        ("Input tokens", D("1.00")),
    ]
    assert {line.span_end for line in draft.lines.filter(position__lte=2)} == {cut}


def test_prices_follow_each_other(world) -> None:
    card = publish(FEE)
    early = datetime(2019, 1, 1, tzinfo=UTC)
    with pytest.raises(PriceInThePast):
        price_tier(tier_version_id=basic().pk, card_id=card.pk, effective_from=early, actor=TESTER)
    new = price_tier(
        tier_version_id=basic().pk, card_id=card.pk, effective_from=datetime(2027, 1, 1, tzinfo=UTC), actor=TESTER
    )
    same = price_tier(tier_version_id=basic().pk, card_id=card.pk, effective_from=early, actor=TESTER)
    assert same.pk == new.pk
    assert TierPrice.objects.filter(tier_version=basic(), currency="USD").count() == 2


def test_a_draft_card_prices_nothing(world) -> None:
    card = draft_rate_card(name="New", currency="USD", rates=[FEE], actor=TESTER)
    with pytest.raises(CardNotPublished):
        price_tier(
            tier_version_id=basic().pk, card_id=card.pk, effective_from=datetime(2027, 1, 1, tzinfo=UTC), actor=TESTER
        )


def test_publishing_twice_is_one_event(world) -> None:
    card = publish(FEE)
    publish_rate_card(card_id=card.pk, actor=TESTER)
    assert Event.objects.filter(name="rate_card.published", subject_ref=card.public_id).count() == 1
    assert publish(FEE).number == card.number + 1


@pytest.mark.parametrize(
    ("rates", "pointer"),
    [
        ([], "/rates"),
        ([FEE, FEE], "/rates/1/key"),
        ([TOKENS, RateDraft("x", "per_unit", TOKENS.parameters, "x", meter="input_tokens")], "/rates/1/meter"),
        ([RateDraft("x", "per_unit", TOKENS.parameters, "x", meter="smiles")], "/rates/0/meter"),
        ([RateDraft("x", "hourly", {"price": "1"}, "x", meter="requests")], "/rates/0/meter"),
        ([RateDraft("x", "flat", {"amount": "1"}, "x", meter="requests")], "/rates/0/meter"),
        (
            [RateDraft("x", "minimum_commitment", {"amount": "1", "meters": ["requests"]}, "x")],
            "/rates/0/parameters/meters",
        ),
    ],
)
def test_a_card_that_makes_no_sense_is_refused(world, rates: list[RateDraft], pointer: str) -> None:
    before = RateCard.objects.count()
    with pytest.raises(InvalidRateCard) as refusal:
        draft_rate_card(name="New", currency="USD", rates=rates, actor=TESTER)
    assert pointer in [error.pointer for error in refusal.value.errors]
    assert RateCard.objects.count() == before


def test_a_rate_with_wrong_parameters_is_refused(world) -> None:
    with pytest.raises(InvalidParameters):
        draft_rate_card(name="New", currency="USD", rates=[RateDraft("x", "flat", {"amount": 1}, "x")], actor=TESTER)


def run(*arguments: str) -> dict:
    out = StringIO()
    call_command(*arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_seeding_twice_changes_nothing(world) -> None:
    first = run("seed_rate_cards")
    assert run("seed_rate_cards") == first and len(first["rate_cards"]) == 6
    assert TierPrice.objects.count() == 6


def test_the_commands_walk_an_invoice_from_preview_to_file(world, tmp_path) -> None:
    tenant = world.tenant(slug="acme")
    world.use(tenant, "input_tokens", 1_000_000)
    assert run("invoice", "preview", "acme", "--month", "2026-10")["preview"]["total"] == "29.60"
    [draft] = run("invoice", "draft", "acme", "--month", "2026-10")["invoices"]
    assert (draft["state"], draft["total"], draft["lines"]) == ("draft", "29.60", 2)
    [final] = run("invoice", "finalize", draft["id"])["invoices"]
    assert (final["number"], final["tenant"]) == ("INV-2026-000001", tenant.public_id)
    file = tmp_path / "invoice.pdf"
    written = run("invoice", "render", "INV-2026-000001", "--output", str(file))
    assert file.read_bytes().startswith(b"%PDF") and written["bytes"] == file.stat().st_size
    world.use(tenant, "input_tokens", 2_000_000)
    [note] = run("invoice", "late", "INV-2026-000001")["invoices"]
    assert (note["kind"], note["total"]) == ("debit_note", "0.60")


def test_close_reports_what_waits(world) -> None:
    world.tenant(currency="EUR")
    world.tenant()
    closed = run("invoice", "close")
    assert len(closed["finalized"]) == 2  # September and October
    assert {wait["code"] for wait in closed["waiting"]} == {"no_rate_card"}
    out = StringIO()
    call_command("invoice", "close", stdout=out)
    assert "finalized: 0" in out.getvalue()


def test_a_refusal_is_a_sentence_and_exit_code_1(world) -> None:
    tenant = world.tenant()
    with pytest.raises(CommandError, match="not final"):
        call_command("invoice", "draft", tenant.slug, "--month", "2026-11")
    with pytest.raises(CommandError, match="not a month"):
        call_command("invoice", "draft", tenant.slug, "--month", "soon")
    assert not Invoice.objects.exists()
