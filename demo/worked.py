"""The worked examples A and B beside the month of the three tenants, whose sums they leave alone.

A: a Basic tenant at its limit is told 429 and when to come again. B: a tenant of APIs is answered by the strong line
until its allowance is used, then by the cheap one until the month is over; one invoice shows both with their prices.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from dataplane.errors import LimitExceeded
from demo import closing
from demo.client import Refused, wait_for
from demo.story import Actor, Story
from demo.tenants import ADAPTER, OF_APIS

STRONG, CHEAP = "strong-api", "cheap-api"
# The example price list, typed off it: USD for a million tokens in and out.
PRICES = {STRONG: ("4.50", "22.50"), CHEAP: ("0.40", "1.90")}
MILLION = 1_000_000
# Basic allows a million tokens a minute; what is held here leaves less than the request may cost.
HELD_TOKENS, ASKED_WORDS = 900_000, 60_000
WORDS, ANSWER_TOKENS = 200_000, 64
MOST_REQUESTS, AFTERWARDS = 20, 3


@dataclass
class ApiTenant:
    """The tenant of APIs, and what its data plane was told: tokens in and out by line."""

    actor: Actor
    tokens_in: Counter[str] = field(default_factory=Counter)
    tokens_out: Counter[str] = field(default_factory=Counter)
    passed_on: int = 0

    def ask(self) -> str:
        """One request; the line that answered."""
        answer = self.actor.kit.complete("base", "w " * WORDS, ANSWER_TOKENS)
        self.tokens_in[answer.line] += answer.input_tokens
        self.tokens_out[answer.line] += answer.output_tokens
        return answer.line


def basic_at_its_limit(story: Story) -> None:
    """A: with the minute's tokens held, a request is refused by the kit and over REST, and both say until when."""
    report, actor = story.report, story.actor("basic")
    if not story.clock.can_move:
        report.skip("example A", "it wants the beginning of a minute, which only a test clock can give")
        return
    with report.step(f"Example A: {actor.cast.name} at the limit of Basic"):
        story.clock.move_to(story.clock.now().replace(second=0, microsecond=0) + timedelta(minutes=1))
        asked = {"tenant": actor.id, "input_tokens": HELD_TOKENS, "max_output_tokens": 0}
        held = story.client.post("/limits/reserve", asked)
        kit = story.limited_kit(actor.id)
        try:
            kit.complete(ADAPTER, "w " * ASKED_WORDS, 1)
            report.hold("the kit refuses", False, "it answered")
        except LimitExceeded as refusal:
            seconds = refusal.retry_after_seconds
            report.hold("the kit refuses until the minute is over", 0 < seconds <= 60, f"{seconds} s: {refusal.detail}")
            story.summary["example_a"] = {"code": refusal.code, "retry_after_seconds": seconds}
        try:
            story.client.post("/limits/reserve", asked)
            report.hold("REST refuses", False, "it reserved")
        except Refused as refusal:
            report.agree("REST refuses with", (refusal.status, refusal.problem["code"]), (429, "limit_exceeded"))
        settled = {"tenant": actor.id, "reservation": held["id"], "input_tokens": 0, "output_tokens": 0}
        story.client.post("/limits/settle", settled)
        kit.close()


def onboard_api_tenant(story: Story) -> ApiTenant | None:
    """B begins: requests go to the strong line until its allowance has no room for one more, then to the cheap one."""
    report, cast = story.report, OF_APIS
    if not story.clock.can_move:
        report.skip("example B", "a month and its roll-over pass only with a test clock")
        return None
    with report.step(f"Example B: {cast.name}, answered by APIs"):
        body = {"name": cast.name, "slug": cast.slug, "tier": cast.tier, "currency": cast.currency}
        made = story.client.post("/tenants", body | {"external_id": f"CRM-{cast.slug}"})
        wait_for("its becoming active", lambda: story.client.get(f"/tenants/{made['id']}")["state"] == "active")
        tenant = ApiTenant(Actor(cast, made["id"], "", story.limited_kit(made["id"])))
        lines = [tenant.ask()]
        while lines[-1] == STRONG and len(lines) < MOST_REQUESTS:
            lines.append(tenant.ask())
        lines += [tenant.ask() for _ in range(AFTERWARDS)]
        first_cheap = lines.index(CHEAP) if CHEAP in lines else len(lines)
        order = lines == [STRONG] * first_cheap + [CHEAP] * (len(lines) - first_cheap)
        report.hold(
            f"{STRONG} first, then {CHEAP} and never back", 0 < first_cheap < len(lines) and order, _said(lines)
        )
        tenant.actor.kit.flush()
        told = story.client.get(f"/tenants/{made['id']}/routing")["degrades"]
        passed_on = sum(each["times"] for each in told if (each["line"], each["to"]) == (STRONG, CHEAP))
        report.agree("requests passed on, told as degrades", passed_on, lines.count(CHEAP))
        tenant.passed_on = passed_on
        # The first of them are told at once, the rest when a quarter of an hour has passed: see the end of B.
        wait_for("an event of the degrades", lambda: _told_in_events(story, tenant))
    return tenant


def _told_in_events(story: Story, tenant: ApiTenant) -> int:
    """How many requests the feed of events says were passed on."""
    found = story.client.get("/events", tenant=tenant.actor.id, name="route.degraded")["data"]
    return sum(event["data"]["times"] for event in found)


def close_api_tenant(story: Story, tenant: ApiTenant | None, month: datetime, out: Path) -> None:
    """B ends: the new month is answered by the strong line again, and the old one's invoice shows both."""
    report = story.report
    if tenant is None:
        return
    with report.step(f"Example B: the invoice of {tenant.actor.cast.name}, and its next month"):
        row = closing.invoice_of(story, tenant.actor, month, out)
        [fee] = [Decimal(line["amount"]) for line in row["lines"] if not line["meter"]]
        tokens = {
            line["description"]: (int(Decimal(line["quantity"])), Decimal(line["amount"]))
            for line in row["lines"]
            if line["meter"]
        }
        wanted = {}
        for line, prices in PRICES.items():
            for direction, counted, price in zip(
                ("Input", "Output"), (tenant.tokens_in, tenant.tokens_out), prices, strict=True
            ):
                cents = (counted[line] * Decimal(price) / MILLION).quantize(Decimal("0.01"), ROUND_HALF_UP)
                wanted[f"{direction} tokens, {line}"] = (counted[line], cents)
        for name, (quantity, amount) in wanted.items():
            report.agree(f"{name}: answered and charged", tokens.get(name), (quantity, amount))
        report.agree("the month's fee and tokens", fee + sum(amount for _, amount in wanted.values()),
                     Decimal(row["total"]))  # fmt: skip
        report.agree("requests passed on, and in events", tenant.passed_on, _told_in_events(story, tenant))
        again = tenant.ask()
        report.agree("who answers in the new month", again, STRONG)
        story.summary["example_b"] = {"invoice": row, "new_month_line": again}
        tenant.actor.kit.close()


def _said(lines: list[str]) -> str:
    return ", ".join(f"{times} × {line}" for line, times in Counter(lines).items())
