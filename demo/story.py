"""The main job, told in steps over REST: onboard, upload, serve, roll back, meter, invoice, offboard.

Every figure that the summary compares is taken where it arises: tokens from the trace, from the product's usage and
from the invoices; AWS objects from AWS's own lists.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import boto3

from dataplane.config import tenant_key
from dataplane.kit import Kit
from dataplane.replay import Lane, TenantResult, replay
from dataplane.trace import Slice, Trace, slices
from demo.client import Client, Json, wait_for
from demo.clock import StoryClock
from demo.lister import Account, doubled, leaked
from demo.report import Report
from demo.tenants import ACCEPTED, ADAPTER, REFUSED, SECOND_VERSION, TENANTS, Cast, archive_of, files_of

# Every month has it, and when it ends there is time left in the month everywhere from Tokyo to New York.
LAST_DAY = 28


@dataclass
class Actor:
    """A tenant of the story and what it has by now."""

    cast: Cast
    id: str
    adapter: str
    kit: Kit
    versions: list[Json] = field(default_factory=list)
    served: TenantResult = field(default_factory=lambda: TenantResult(""))


@dataclass
class Span:
    """A half-open stretch of time."""

    start: datetime
    end: datetime


class Story:
    """Everything the demo does, step by step; `summary` fills while it goes."""

    def __init__(self, env: Mapping[str, str], client: Client, clock: StoryClock, report: Report) -> None:
        self.env = env
        self.client = client
        self.clock = clock
        self.report = report
        self.account = Account(env)
        self.actors: list[Actor] = []
        self.summary: Json = {}

    def actor(self, tier: str) -> Actor:
        """The tenant on this tier."""
        return next(actor for actor in self.actors if actor.cast.tier == tier)

    # --- onboarding ---------------------------------------------------------------------------------------------
    def onboard(self) -> None:
        """Three tenants by REST."""
        for cast in TENANTS:
            tenant = self.client.post(
                "/tenants",
                {
                    "name": cast.name,
                    "slug": cast.slug,
                    "tier": cast.tier,
                    "currency": cast.currency,
                    "billing_timezone": cast.timezone,
                    "invoice_language": cast.language,
                    "external_id": f"CRM-{cast.slug}",
                },
            )
            self.actors.append(Actor(cast, tenant["id"], "", self._kit(tenant["id"])))
            self.report.note(f"{cast.name}: {tenant['id']} on {cast.tier}")
        self.summary["tenants"] = len(self.actors)

    def wait_until_active(self) -> None:
        """Until AWS holds what each tenant's tier promises."""
        wait_for("all three becoming active", lambda: all(self._state(actor) == "active" for actor in self.actors))

    def kill_worker(self, kill: Callable[[], int]) -> None:
        """Once AWS is at work for the last tenant, `kill` the worker that asked it to; another one must go on."""
        last = self.actors[-1]
        wait_for("AWS creating something for the last of them", lambda: self._is_being_made(last))
        states = [self._state(actor) for actor in self.actors]
        self.report.note(f"worker {kill()} killed (SIGKILL) while the tenants were {', '.join(states)}")
        self.report.hold("somebody was still being provisioned", set(states) != {"active"}, ", ".join(states))
        self.wait_until_active()
        lost, twice = self.count_strays()
        self.summary["crash"] = {"kills": 1, "leaked": len(lost), "doubled": len(twice)}
        self.report.hold("nothing leaked, nothing doubled", not lost and not twice, f"{lost or 0}, {twice or 0}")

    def count_strays(self) -> tuple[list[str], list[str]]:
        """What AWS holds that the product does not know of, and what it holds twice."""
        known = {resource["name"] for resource in self.client.every("/resources")}
        seen = self.account.hosting()
        return leaked(seen, known=known), doubled(seen)

    def _state(self, actor: Actor) -> str:
        return str(self.client.get(f"/tenants/{actor.id}")["state"])

    def _is_being_made(self, actor: Actor) -> bool:
        return any(seen.tags.get("cp:tenant") == actor.id for seen in self.account.hosting())

    def limited_kit(self, tenant: str) -> Kit:
        """A data plane of the tenant that keeps its limits, and stamps what it counts with the story's clock."""
        return self._kit(tenant, clock=lambda: self.clock.now().timestamp(), limits_table=self.env["CP_LIMITS_TABLE"])

    def _kit(self, tenant: str, **how: Any) -> Kit:
        env = self.env
        session = boto3.session.Session(
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
            region_name=env["AWS_DEFAULT_REGION"],
        )
        key = tenant_key(env["CP_CONFIG_SIGNING_KEY"], tenant)
        return Kit(tenant, key, env["CP_CONFIG_TABLE"], session=session, config_ttl_seconds=0.5, **how)

    # --- adapters -----------------------------------------------------------------------------------------------
    def bring_adapters(self) -> None:
        """Each tenant uploads its adapter, as files or as an archive, and releases it; bad ones are refused."""
        with self.report.step("Upload adapters: three good, four bad"):
            for index, actor in enumerate(self.actors):
                body = {"tenant": actor.id, "name": ADAPTER, "foundation_model": "tiny-llama"}
                actor.adapter = self.client.post("/adapters", body)["id"]
                actor.versions.append(self.upload(actor, actor.cast.sample, as_archive=index % 2 == 1))
            premium = self.actor("premium")
            premium.versions.append(self.upload(premium, SECOND_VERSION, as_archive=True))
            accepted = {version["sample"] for actor in self.actors for version in actor.versions if _is_ready(version)}
            self.report.agree("accepted", sorted(accepted), sorted(ACCEPTED))
            refused = [self._refused(sample, index) for index, sample in enumerate(REFUSED)]
            for found in refused:
                expected = REFUSED[found["name"]]
                self.report.hold(f"{found['name']} refused", expected in found["codes"], ", ".join(found["codes"]))
            self.summary["adapters"] = {"accepted": sorted(accepted), "refused": refused}
        with self.report.step("Release one adapter for each tenant"):
            for actor in self.actors:
                self.client.post(f"/adapter-versions/{actor.versions[0]['id']}/release", {"reason": "first version"})
            for actor in self.actors:
                self.wait_until_live(actor, actor.versions[0])
                [answer] = actor.kit.config(fresh=True).routes[ADAPTER].targets
                self.report.note(f"{actor.cast.name}: version {answer.version_number} on line {answer.line}")

    def upload(self, actor: Actor, sample: str, *, as_archive: bool) -> Json:
        """One version, uploaded and decided by the gate."""
        path = f"/adapters/{actor.adapter}/versions"
        if as_archive:
            sent = json.loads(self.client.send("POST", path, archive_of(sample), {"Content-Type": "application/gzip"}))
        else:
            sent = self.client.upload(path, files_of(sample), {"notes": f"sample {sample}"})

        def decided() -> Json | None:
            version = self.client.get(f"/adapter-versions/{sent['id']}")
            return version if version["state"] in ("ready", "rejected") else None

        version: Json = wait_for(f"the gate's decision on {sample}", decided)
        return version | {"sample": sample}

    def _refused(self, sample: str, index: int) -> Json:
        version = self.upload(self.actor("basic"), sample, as_archive=index % 2 == 0)
        errors = [finding["code"] for finding in version["findings"] if finding["severity"] == "error"]
        return {"name": sample, "codes": sorted(set(errors)) if version["state"] == "rejected" else []}

    def wait_until_live(self, actor: Actor, version: Json) -> None:
        """Until the tenant's own data plane is told to use this version."""

        def routed() -> bool:
            adapter = self.client.get(f"/adapters/{actor.adapter}")
            return bool(adapter["live_version"] and adapter["live_version"]["id"] == version["id"])

        wait_for(f"{actor.cast.name}'s version {version['number']} going live", routed)

    # --- a month of traffic -------------------------------------------------------------------------------------
    def serve_a_month(self, trace: Trace, until: datetime) -> None:
        """Replay the trace over the month, day by day; in the middle release a second version and roll it back."""
        days = self._days(trace, until)
        middle = len(days) // 2
        premium = self.actor("premium")
        with self.report.step(f"Replay {len(trace.requests):,} requests over {len(days)} days"):
            for number, day in enumerate(days):
                self.clock.move_to(day.end)
                if number == middle:
                    self.client.post(f"/adapter-versions/{premium.versions[1]['id']}/release", {"reason": "better"})
                    self.wait_until_live(premium, premium.versions[1])
                    self.report.note(f"day {number + 1}: {premium.cast.name} serves version 2")
                if number == middle + 1:
                    day = self._roll_back(premium, day)
                self._replay(day)
        sent_in = sum(actor.served.input_tokens_received for actor in self.actors)
        sent_out = sum(actor.served.output_tokens_received for actor in self.actors)
        self.summary["tokens"] = {"trace_in": trace.context_tokens, "trace_out": trace.generated_tokens}
        for error in [error for actor in self.actors for error in actor.served.errors][:5]:
            self.report.hold("every request answered", False, error)
        self.report.agree("tokens in, sent and answered", trace.context_tokens, sent_in)
        self.report.agree("tokens out, asked and answered", trace.generated_tokens, sent_out)

    def _days(self, trace: Trace, until: datetime) -> list[Slice]:
        """The trace by days of the month; in real time, where no clock can be moved, three pieces of the last hour."""
        now = self.clock.now()
        if self.clock.can_move:
            return list(slices(trace, Span(now + timedelta(minutes=1), until)))
        self.report.skip("a month's pace", "the clock of another AWS cannot be moved; the trace is stamped as of now")
        [hour] = slices(trace, Span(now - timedelta(hours=1), now))
        third = len(hour.requests) // 3 + 1
        pieces = [hour.requests[first : first + third] for first in range(0, len(hour.requests), third)]
        return [Slice(hour.start, hour.end, piece) for piece in pieces]

    def serve(self, trace: Trace, until: datetime) -> None:
        """Replay a trace from now on, day by day."""
        with self.report.step(f"Replay {len(trace.requests):,} more requests"):
            for day in self._days(trace, until):
                self.clock.move_to(day.end)
                self._replay(day)

    def _replay(self, day: Slice) -> None:
        for tenant, counts in replay(day, self._lanes()).items():
            next(actor for actor in self.actors if actor.id == tenant).served.add(counts)

    def _lanes(self) -> list[Lane]:
        """Who answers which share of the trace: the tenants in turn, Advanced three times as often."""
        return [Lane(actor.kit, ADAPTER) for actor in self.actors for _ in range(actor.cast.share)]

    def _roll_back(self, actor: Actor, day: Slice) -> Slice:
        """Ask for the version before and send the day's next requests until it answers; what is left of the day."""
        lanes = self._lanes()
        mine = [request for request in day.requests if lanes[request.number % len(lanes)].kit is actor.kit]
        before = actor.versions[1]["number"]
        started = time.monotonic()
        self.client.post(f"/adapters/{actor.adapter}/roll-back", {"reason": "answers got worse"})
        sent = set()
        served = before
        for request in mine:
            answer = actor.kit.complete(
                ADAPTER,
                "w " * request.context_tokens,
                request.generated_tokens,
                options={"ignore_eos": True},
                at=request.at,
            )
            sent.add(request.number)
            actor.served.requests_sent += 1
            actor.served.requests_answered += 1
            actor.served.input_tokens_sent += request.context_tokens
            actor.served.input_tokens_received += answer.input_tokens
            actor.served.output_tokens_asked += request.generated_tokens
            actor.served.output_tokens_received += answer.output_tokens
            served = answer.version_number or 0
            if served != before:
                break
            wait_for("the old version's route", lambda: _routed(actor) != before, every=0.05)
        seconds = round(time.monotonic() - started, 2)
        expected = actor.versions[0]["number"]
        self.report.agree("rolled back to version", served, expected)
        self.report.note(f"its first answer came {seconds} s after the request to roll back")
        self.summary["rollback"] = {"from": before, "to": served, "seconds": seconds}
        return Slice(day.start, day.end, [request for request in day.requests if request.number not in sent])


def _routed(actor: Actor) -> int | None:
    return actor.kit.config(fresh=True).routes[ADAPTER].targets[0].version_number


def _is_ready(version: Json) -> bool:
    return bool(version["state"] == "ready")
