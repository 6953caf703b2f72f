"""`python -m demo.examples`: the data that a new installation starts with, unless it was asked to be empty.

The same story as the demo's, in the past: it begins on the first of the last month that can be closed by now, and
ends today, with the test clock back at zero. Runs beside the product that it fills.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dataplane.trace import make_trace
from demo import closing
from demo.client import Client, issue_key
from demo.clock import StoryClock
from demo.report import Report
from demo.story import LAST_DAY, Story
from local_stack.emulator import EmulatorClient

REQUESTS = 1500
REQUESTS_SINCE = 600


def first_moment(now: datetime) -> datetime:
    """The first of the latest month whose usage has settled by `now`, at midnight UTC."""
    month = (now - closing.SETTLES_AFTER - timedelta(hours=1)).replace(day=1) - timedelta(days=1)
    return month.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def main() -> int:
    """Fill the stack that the environment names; 1 when something did not agree, with the reason printed."""
    env = dict(os.environ)
    clock_file = Path(env["CP_TEST_CLOCK_FILE"])
    aws = EmulatorClient(env["AWS_ENDPOINT_URL"])
    clock = StoryClock(aws, clock_file)
    report = Report()
    story = Story(env, Client(env["CP_PUBLIC_URL"], issue_key(env, "example data")), clock, report)
    month = clock.now()
    out = clock_file.parent / "out"
    out.mkdir(exist_ok=True)
    with report.step("Onboard three tenants"):
        story.onboard()
        story.wait_until_active()
    story.bring_adapters()
    trace = make_trace(requests=REQUESTS)
    story.serve_a_month(trace, until=datetime(month.year, month.month, LAST_DAY, 12, tzinfo=UTC))
    closing.invoice(story, month, trace, out)
    story.serve(make_trace(seed=2, requests=REQUESTS_SINCE), until=datetime.now(UTC))
    aws.post("clock", {"offset_seconds": 0})
    return 1 if report.disagreements else 0


if __name__ == "__main__":
    sys.exit(main())
