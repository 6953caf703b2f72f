"""The end of the month: one tenant leaves, usage settles, every tenant gets its invoice, and the sums must agree."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from dataplane.trace import Trace
from demo.client import Json, Refused, wait_for
from demo.story import Actor, Story

# CloudWatch shows late points for days, so usage settles 72 hours after its hour; a little more for the last read.
SETTLES_AFTER = timedelta(hours=72, minutes=40)
READS_AFTER = (timedelta(minutes=20), timedelta(hours=4), timedelta(hours=25))
PATIENCE_SECONDS = 90.0
TOKEN_METERS = {"in": "input_tokens", "out": "output_tokens"}


def offboard(story: Story, actor: Actor, out: Path) -> None:
    """The tenant leaves: access, resources, final invoice, artifacts; AWS is asked what is left."""
    report, client = story.report, story.client
    with report.step(f"Offboard {actor.cast.name}"):
        before = story.account.left_of(actor.id)
        report.hold("AWS holds something of it before", bool(before), f"{len(before)} objects")
        client.post(f"/tenants/{actor.id}/offboard", {"reason": "end of contract"}, if_match="*")
        wait_for("its resources being deleted", lambda: _step_done(story, actor, "resources"), seconds=PATIENCE_SECONDS)
        hosted = [seen.name for seen in story.account.hosting() if seen.tags.get("cp:tenant") == actor.id]
        report.agree("left of its hosting in AWS", hosted, [])
        if not story.clock.can_move:
            report.skip("final invoice and erasing of artifacts", "they wait for hours that only a test clock can pass")
            story.summary["offboarded"] = {"tenant": actor.id, "left_in_aws": len(hosted)}
            return
        ended = story.clock.now()
        for after in (*READS_AFTER, SETTLES_AFTER + timedelta(hours=1)):
            story.clock.move_to(ended + after)
        wait_for(
            "its final invoice and the erasing of its artifacts",
            lambda: client.get(f"/tenants/{actor.id}")["state"] == "offboarded",
            seconds=PATIENCE_SECONDS,
        )
        left = story.account.left_of(actor.id)
        report.agree("left of it in AWS altogether", left, [])
        steps = client.get(f"/tenants/{actor.id}/offboarding")["steps"]
        deletion = {"tenant": actor.id, "looked_for": sorted(before), "left_in_aws": left, "steps": steps}
        (out / f"deletion-{actor.cast.slug}.json").write_text(json.dumps(deletion, indent=2) + "\n")
        story.summary["offboarded"] = {"tenant": actor.id, "left_in_aws": len(left)}


def invoice(story: Story, month: datetime, trace: Trace, out: Path) -> None:
    """Draft and finalize the month of whoever stays, fetch all documents, and compare the sums."""
    report = story.report
    if not story.clock.can_move:
        report.skip("metering and invoices", "a month and its grace pass only with a test clock")
        story.summary["invoices"] = []
        return
    with report.step("Close the month: one finalized invoice per tenant, as PDF and CSV"):
        end = datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC)
        story.clock.move_to(end + SETTLES_AFTER)
        rows = [_invoiced(story, actor, month, out) for actor in story.actors]
        story.summary["invoices"] = [row for row, _ in rows]
        numbers = sorted(row["number"] for row, _ in rows)
        report.hold("the numbers have no gap", not _has_gap(numbers), ", ".join(numbers))
    with report.step("Compare the trace, the metered usage and the invoices"):
        tokens = story.summary["tokens"]
        for direction, meter in TOKEN_METERS.items():
            tokens[f"metered_{direction}"] = sum(_metered(story, actor, month, meter) for actor in story.actors)
            tokens[f"invoiced_{direction}"] = sum(on_lines.get(meter, 0) for _, on_lines in rows)
            sums = [tokens[f"{source}_{direction}"] for source in ("trace", "metered", "invoiced")]
            report.agree(f"tokens {direction}: trace, metered, invoiced", *sums)


def invoice_of(story: Story, actor: Actor, month: datetime, out: Path) -> Json:
    """The finalized invoice of one more tenant as a row of the summary, its documents fetched and its sums compared."""
    row, _ = _invoiced(story, actor, month, out)
    return row


def _invoiced(story: Story, actor: Actor, month: datetime, out: Path) -> tuple[Json, dict[str, int]]:
    if not _finalized(story, actor):
        _draft_and_finalize(story, actor, f"{month:%Y-%m}")
    [found] = _finalized(story, actor)
    return _fetch(story, actor, found["id"], out)


def _step_done(story: Story, actor: Actor, key: str) -> bool:
    steps = story.client.get(f"/tenants/{actor.id}/offboarding")["steps"]
    return any(step["key"] == key and step["done_at"] for step in steps)


def _finalized(story: Story, actor: Actor) -> list[Json]:
    return list(story.client.every("/invoices", tenant=actor.id, state="finalized"))


def _draft_and_finalize(story: Story, actor: Actor, month: str) -> None:
    def drafted() -> Json | None:
        try:
            return story.client.post("/invoices", {"tenant": actor.id, "month": month})
        except Refused as refusal:
            if refusal.problem.get("code") == "usage_incomplete":  # its hours are still being read
                return None
            raise

    draft = wait_for(f"the usage of {actor.cast.name} being known", drafted, seconds=PATIENCE_SECONDS, every=1.0)
    if draft["state"] == "draft":
        story.client.post(f"/invoices/{draft['id']}/finalize", if_match=f'"v{draft["version"]}"')


def _fetch(story: Story, actor: Actor, invoice_id: str, out: Path) -> tuple[Json, dict[str, int]]:
    """The summary's row of one invoice, and its quantities per meter; its documents are written to `out`."""
    found = story.client.get(f"/invoices/{invoice_id}")
    for kind in ("pdf", "csv"):
        content = story.client.send("GET", f"/invoices/{invoice_id}/{kind}")
        (out / f"{found['number']}.{kind}").write_bytes(content)
        story.report.hold(f"{found['number']}.{kind} has content", len(content) > 200, f"{len(content):,} bytes")
    lines = [Decimal(line["amount"]["amount"]) for line in found["lines"]]
    total = Decimal(found["total"]["amount"])
    story.report.agree(f"{found['number']}: lines and tax, total", sum(lines) + Decimal(found["tax"]["amount"]), total)
    checks = found["reconciliation"]["checks"]
    unmatched = [check["meter"] for check in checks if not check["is_matched"]]
    story.report.agree(f"{found['number']}: meters that disagree with their buckets or their source", unmatched, [])
    row = {
        "tenant": actor.id,
        "number": found["number"],
        "currency": found["currency"],
        "total": found["total"]["amount"],
        "lines": [_line(line) for line in found["lines"]],
    }
    story.report.note(f"{actor.cast.name}: {found['number']}, {found['total']['amount']} {found['currency']}")
    return row, {check["meter"]: check["on_lines"] for check in checks}


def _line(line: Json) -> Json:
    amount = line["amount"]["amount"]
    return {name: line[name] for name in ("description", "meter", "quantity", "unit")} | {"amount": amount}


def _metered(story: Story, actor: Actor, month: datetime, meter: str) -> int:
    days = {"first_day": f"{month - timedelta(days=1):%Y-%m-%d}", "last_day": f"{month + timedelta(days=40):%Y-%m-%d}"}
    totals = story.client.get(f"/tenants/{actor.id}/usage", **days)["totals"]
    return int(totals.get(meter, 0))


def _has_gap(numbers: list[str]) -> bool:
    """Whether a series (one per issuer and year) does not run from 1 without a gap."""
    series: dict[str, list[int]] = {}
    for number in sorted(numbers):
        name, _, position = number.rpartition("-")
        series.setdefault(name, []).append(int(position))
    return any(positions != list(range(1, len(positions) + 1)) for positions in series.values())
