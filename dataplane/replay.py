"""Replays a trace against real endpoints: a prompt of each request's length, sent with boto3, counted by its answer.

DATAPLANE_CONFIG_KEY=<hex> python -m dataplane.replay --tenant ten_… --table runtime-config --route support --json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dataplane.emit import COUNTED
from dataplane.errors import DataPlaneError
from dataplane.kit import Kit
from dataplane.trace import Period, Slice, TimedRequest, Trace, make_trace, read_trace, slices

WORKERS = 4
MAX_ERRORS_KEPT = 20


@dataclass(slots=True)
class TenantResult:
    """What was asked for and what came back, in requests and tokens; `*_emitted` is what CloudWatch confirmed.

    Tokens in are whole prompts, whether they came from a cache or not.
    """

    tenant: str
    requests_sent: int = 0
    requests_answered: int = 0
    input_tokens_sent: int = 0
    input_tokens_received: int = 0
    output_tokens_asked: int = 0
    output_tokens_received: int = 0
    input_tokens_emitted: int = 0
    output_tokens_emitted: int = 0
    requests_emitted: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def is_exact(self) -> bool:
        """Whether everything sent was answered, and everything answered was confirmed, to the token."""
        return (
            self.requests_sent == self.requests_answered == self.requests_emitted
            and self.input_tokens_sent == self.input_tokens_received == self.input_tokens_emitted
            and self.output_tokens_asked == self.output_tokens_received == self.output_tokens_emitted
        )

    def add(self, other: TenantResult) -> None:
        """Add another slice's counts to these."""
        for name in self.__slots__:
            if name not in ("tenant", "errors"):
                setattr(self, name, getattr(self, name) + getattr(other, name))
        self.errors = (self.errors + other.errors)[:MAX_ERRORS_KEPT]


@dataclass(frozen=True, slots=True)
class Lane:
    """Whose kit, and on which route, answers a share of the trace."""

    kit: Kit
    route: str


def replay(piece: Slice, lanes: Sequence[Lane], *, workers: int = WORKERS) -> dict[str, TenantResult]:
    """Send a slice's requests, flush the metrics, and return the counts per tenant.

    Request number n of the trace goes to lane n modulo the lanes, so a trace is shared out the same way however it is
    cut. A failed request is counted as sent, not as answered, and its error is kept (the first few).
    """
    results = {lane.kit.tenant: TenantResult(lane.kit.tenant) for lane in lanes}
    kits = {lane.kit.tenant: lane.kit for lane in lanes}
    # A kit also flushes on its own while requests come, so what a slice emitted is a difference.
    before = {tenant: kit.emitted for tenant, kit in kits.items()}
    shares = [piece.requests[first::workers] for first in range(workers)]
    with ThreadPoolExecutor(workers, thread_name_prefix="replay") as pool:
        for partial in pool.map(lambda share: _send(share, lanes), shares):
            for tenant, counts in partial.items():
                results[tenant].add(counts)
    for tenant, kit in kits.items():
        report = kit.flush()
        result = results[tenant]
        sent = {metric: kit.emitted.get(metric, 0) - before[tenant].get(metric, 0) for metric in COUNTED}
        result.input_tokens_emitted = sent["InputTokens"] + sent["CachedInputTokens"]
        result.output_tokens_emitted, result.requests_emitted = sent["OutputTokens"], sent["Requests"]
        result.errors = (result.errors + list(report.errors))[:MAX_ERRORS_KEPT]
    return results


def _send(requests: Sequence[TimedRequest], lanes: Sequence[Lane]) -> dict[str, TenantResult]:
    results = {lane.kit.tenant: TenantResult(lane.kit.tenant) for lane in lanes}
    for request in requests:
        lane = lanes[request.number % len(lanes)]
        result = results[lane.kit.tenant]
        result.requests_sent += 1
        result.input_tokens_sent += request.context_tokens
        result.output_tokens_asked += request.generated_tokens
        try:
            answer = lane.kit.complete(
                lane.route,
                "w " * request.context_tokens,
                request.generated_tokens,
                options={"ignore_eos": True},
                at=request.at,
            )
        except DataPlaneError as error:
            if len(result.errors) < MAX_ERRORS_KEPT:
                result.errors.append(f"request {request.number}: {error.code}: {error.detail}")
            continue
        result.requests_answered += 1
        result.input_tokens_received += answer.prompt_tokens
        result.output_tokens_received += answer.output_tokens
    return results


@dataclass(frozen=True, slots=True)
class _Span:
    start: datetime
    end: datetime


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns 0 when all tokens agree, 1 when they do not, 2 for a wrong use."""
    options = _parser().parse_args(arguments)
    try:
        trace = read_trace(options.trace) if options.trace else make_trace(seed=options.seed, requests=options.requests)
        if options.write_trace:
            trace.write(options.write_trace)
            print(f"wrote {len(trace.requests):,} requests to {options.write_trace}")
            return 0
        result, seconds = _run(options, trace)
    except (DataPlaneError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({**asdict(result), "is_exact": result.is_exact, "seconds": round(seconds, 2)}))
    else:
        print(
            f"{result.requests_answered:,} of {result.requests_sent:,} requests answered in {seconds:.1f} s; "
            f"tokens in {result.input_tokens_received:,} of {result.input_tokens_sent:,}, "
            f"out {result.output_tokens_received:,} of {result.output_tokens_asked:,}"
        )
        print("\n".join(result.errors), file=sys.stderr)
    return 0 if result.is_exact else 1


def _run(options: argparse.Namespace, trace: Trace) -> tuple[TenantResult, float]:
    if not (options.tenant and options.table and options.route):
        raise ValueError("--tenant, --table and --route are needed to replay")
    try:
        key = bytes.fromhex(os.environ["DATAPLANE_CONFIG_KEY"])
    except (KeyError, ValueError):
        raise ValueError("DATAPLANE_CONFIG_KEY must hold the tenant's config key in hexadecimal") from None
    kit = Kit(options.tenant, key, options.table)
    kit.config()
    period: Period = _Span(options.start or options.end - timedelta(days=1), options.end)
    total = TenantResult(options.tenant)
    began = time.monotonic()
    for piece in slices(trace, period):
        total.add(replay(piece, [Lane(kit, options.route)], workers=options.workers)[options.tenant])
    return total, time.monotonic() - began


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dataplane.replay", description="Replay a trace against a tenant's route."
    )
    parser.add_argument("--tenant", help="the tenant's id (ten_…)")
    parser.add_argument("--table", help="the DynamoDB table of runtime configs")
    parser.add_argument("--route", help="the route to call")
    parser.add_argument(
        "--trace", type=Path, help="CSV with TIMESTAMP,ContextTokens,GeneratedTokens (default: a made one)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the made trace")
    parser.add_argument("--requests", type=int, default=2400, help="requests of the made trace")
    parser.add_argument(
        "--start", type=_moment, help="first moment the usage is stamped with (default: a day before --end)"
    )
    parser.add_argument("--end", type=_moment, default=datetime.now(UTC), help="where the stamps end (default: now)")
    parser.add_argument("--workers", type=int, default=WORKERS, help="parallel requests")
    parser.add_argument("--write-trace", type=Path, metavar="FILE", help="write the trace as CSV and stop")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    return parser


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


if __name__ == "__main__":
    sys.exit(main())
