"""`run.py demo`: a fresh stack of its own, the whole story in it, a summary; 1 on any disagreement."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from dataplane.errors import TraceError
from dataplane.trace import Trace, make_trace, read_trace
from demo import closing, guarantee, worked
from demo.client import Client, Json, issue_key
from demo.clock import StoryClock, first_of_next_month
from demo.report import Report
from demo.story import LAST_DAY, Story
from local_stack.bootstrap import SECONDS
from local_stack.emulator import EmulatorClient
from local_stack.home import Home
from local_stack.paths import ROOT
from local_stack.stack import Stack

HOME = Home(ROOT / "var" / "demo")
# Enough for the middle tier to use up what its fee includes.
OWN_REQUESTS = 4500
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def run(*, json_file: str | None, trace: str | None, external_aws: str | None) -> int:
    """Tell the story; 0 when everything agreed, 1 when something did not, 2 for wrong words."""
    began = time.monotonic()
    if external_aws and urlsplit(external_aws).hostname not in LOOPBACK:
        print(f"--external-aws takes a server on this machine, not {external_aws}.", file=sys.stderr)
        return 2
    try:
        requests = read_trace(Path(trace)) if trace else make_trace(requests=OWN_REQUESTS)
    except TraceError as problem:
        print(problem.detail, file=sys.stderr)
        return 2
    HOME.remove()
    with Stack(HOME, aws_url=external_aws) as stack:
        stack.start_services()
        if external_aws:  # it may hold what an earlier demo left, so this one has names of its own
            stack.env["CP_INSTALL_NAME"] = f"d{secrets.token_hex(3)}"
        # From here on this process, whose boto3 reads it too, has the stack's environment and no other.
        os.environ.clear()
        os.environ.update(stack.env)
        aws = None if external_aws else EmulatorClient(stack.env["AWS_ENDPOINT_URL"])
        clock = StoryClock(aws, None if external_aws else HOME.clock_file)
        stack.wait_for_aws()
        clock.move_to(first_of_next_month(clock.now()))
        stack.start_product(wanted_port=8010)
        started = time.monotonic() - began
        report = Report()
        story = Story(stack.env, Client(stack.url, issue_key(stack.env, "demo")), clock, report)
        try:
            _tell(story, stack, requests)
        except Exception as problem:  # the summary says what went wrong, whatever it was
            report.hold("the story came to its end", False, f"{type(problem).__name__}: {problem}")
        summary = story.summary | {
            "seconds": {
                "install": float(os.environ.get(SECONDS, 0)),
                "start": round(started, 1),
                "total": round(time.monotonic() - began, 1),
            },
            "disagreements": report.disagreements,
            "skipped": report.skipped,
        }
        _show(summary)
        if json_file:
            Path(json_file).write_text(json.dumps(summary, indent=2) + "\n")
    return 1 if report.disagreements else 0


def _tell(story: Story, stack: Stack, trace: Trace) -> None:
    """Every step in its order; the leaving tenant leaves before the month ends, so that it gets one invoice too."""
    out = HOME.path / "out"
    out.mkdir()
    month = story.clock.now()
    with story.report.step("Onboard three tenants, and kill the worker meanwhile"):
        story.onboard()
        story.kill_worker(stack.kill_worker)
    story.bring_adapters()
    worked.basic_at_its_limit(story)
    of_apis = worked.onboard_api_tenant(story)
    story.serve_a_month(trace, until=datetime(month.year, month.month, LAST_DAY, 12, tzinfo=UTC))
    closing.offboard(story, story.actor("premium"), out)
    closing.invoice(story, month, trace, out)
    of_choice = guarantee.onboard(story)
    worked.close_api_tenant(story, of_apis, month, out)
    guarantee.holds(story, of_choice)


def _show(summary: Json) -> None:
    print(f"\n{json.dumps(summary, indent=2)}")
    print(f"\nInvoices as PDF and CSV: {HOME.path / 'out'}")
    if summary["disagreements"]:
        print(f"\n{len(summary['disagreements'])} disagreement(s); logs in {HOME.logs}")
    else:
        print("\nEverything agrees.")
