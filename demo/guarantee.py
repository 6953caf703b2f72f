"""The worked example C: a tenant that chooses between an endpoint of its own and an API, and is answered as before
while a neighbour floods the pool.

Told in the month after the story's, whose sums it leaves alone. Copies of the local AWS are slow meanwhile and answer
one request after the other, so that whoever shares one waits.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from dataplane.errors import LimitExceeded
from dataplane.kit import Kit
from demo.client import wait_for
from demo.story import Actor, Story
from demo.tenants import ADAPTER, OF_CHOICE
from demo.worked import STRONG

OWN = "dedicated"
# A request of the flood takes 0.6 s of a copy and holds 240,000 of Basic's million tokens a minute.
WORDS_PER_SECOND, FLOOD_TOKENS, FLOOD_WORDS, FLOOD = 100, 60, 120_000, 12
ASKED_TOKENS, ASKED_TIMES = 5, 8
EXACTLY = {"ignore_eos": True}


def onboard(story: Story) -> Actor | None:
    """C begins: the tenant signs up; its endpoint is made while the story goes on."""
    if not story.clock.can_move:
        story.report.skip("example C", "how fast a copy answers can only be told to the local AWS")
        return None
    cast = OF_CHOICE
    body = {"name": cast.name, "slug": cast.slug, "tier": cast.tier, "currency": cast.currency}
    made = story.client.post("/tenants", body | {"external_id": f"CRM-{cast.slug}"})
    return Actor(cast, made["id"], "", story.limited_kit(made["id"]))


def holds(story: Story, actor: Actor | None) -> None:
    """C: either line or both answer, as the tenant likes; and its own one as fast as before, whatever the pool does."""
    if actor is None:
        return
    report, kit = story.report, actor.kit
    with report.step(f"Example C: {actor.cast.name} keeps its guarantee while the pool is flooded"):
        wait_for("its becoming active", lambda: story.client.get(f"/tenants/{actor.id}")["state"] == "active")
        answered = [_line_after_choosing(story, actor, lines) for lines in ([STRONG], [OWN], [OWN, STRONG])]
        report.agree("either line or both, as it likes", answered, [STRONG, OWN, OWN])
        flooding = story.limited_kit(story.actor("basic").id)
        flooding.config()
        story.clock.let_copies_say(WORDS_PER_SECOND)
        alone, _ = _ask(kit)
        with ThreadPoolExecutor(FLOOD) as threads:
            flood = [threads.submit(_push, flooding) for _ in range(FLOOD)]
            beside, lines = _ask(kit)
            outcome = [each.result() for each in flood]
        story.clock.let_copies_say(None)
        waits = [seconds for line, seconds in outcome if line == "pooled"]
        turned = Counter(line for line, _ in outcome)
        report.hold("the flood: answered slowly, or 429", set(turned) == {"pooled", "refused"}, _said(turned, waits))
        report.agree("who answers it meanwhile", lines, [OWN] * ASKED_TIMES)
        report.hold(
            "in less than half the time that the flood waits",
            beside < median(waits) / 2 if waits else False,
            f"{beside:.2f} s, alone {alone:.2f} s",
        )
        told = story.client.get(f"/tenants/{actor.id}/routing")
        report.agree("its degrades and breakers that are not closed", [], told["degrades"] + _open(told["breakers"]))
        story.summary["example_c"] = {
            "lines": answered,
            "flood": dict(turned),
            "seconds": {"alone": round(alone, 3), "beside_the_flood": round(beside, 3)},
        }
        for each in (kit, flooding):
            each.close()


def _line_after_choosing(story: Story, actor: Actor, lines: Sequence[str]) -> str:
    """The line that answers once data planes follow the choice."""
    story.client.post(f"/tenants/{actor.id}/lines/choose", {"lines": lines, "reason": "example C"})

    def followed() -> bool:
        return [target.line for target in actor.kit.config(fresh=True).routes["base"].targets] == list(lines)

    wait_for(f"{' and '.join(lines)} being published", followed)
    return actor.kit.complete("base", "hello", ASKED_TOKENS).line


def _ask(kit: Kit) -> tuple[float, list[str]]:
    """Some requests one after the other: the median of their seconds, and who answered each."""
    seconds, lines = [], []
    for _ in range(ASKED_TIMES):
        began = time.monotonic()
        lines.append(kit.complete("base", "hello", ASKED_TOKENS, options=EXACTLY).line)
        seconds.append(time.monotonic() - began)
    return median(seconds), lines


def _push(kit: Kit) -> tuple[str, float]:
    """One request of the flood: the line that answered, or that it was refused, after how many seconds."""
    began = time.monotonic()
    try:
        line = kit.complete(ADAPTER, "w " * FLOOD_WORDS, FLOOD_TOKENS, options=EXACTLY).line
    except LimitExceeded:
        line = "refused"
    return line, time.monotonic() - began


def _open(breakers: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    return [each for each in breakers if each["state"] != "closed"]


def _said(turned: Counter[str], waits: Sequence[float]) -> str:
    slow = f" after {min(waits):.1f} to {max(waits):.1f} s" if waits else ""
    return f"{turned['pooled']} answered{slow}, {turned['refused']} refused"
