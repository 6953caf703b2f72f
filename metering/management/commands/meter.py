"""manage.py meter collect [--from T --to T] | gaps | freshness   [--json]"""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from metering import queries
from metering.services import backfill, collection


class Command(BaseCommand):
    """Collects usage, and tells what is missing."""

    help = "Collect usage that is due, or show what was not read and how far each scope is."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=["collect", "gaps", "freshness"])
        parser.add_argument("--from", dest="start", type=_moment, help="with collect: read again from this hour on")
        parser.add_argument("--to", dest="end", type=_moment, help="with collect: read again up to this hour")
        parser.add_argument("--json", dest="as_json", action="store_true", help="print JSON")

    def handle(self, *, what: str, start: datetime | None, end: datetime | None, as_json: bool, **_: Any) -> None:
        if what == "collect":
            self._collect(start, end, as_json)
            return
        rows = queries.gaps(tenant_ids=None) if what == "gaps" else queries.freshness()
        if as_json:
            self.stdout.write(json.dumps([asdict(row) for row in rows], default=str))
        else:
            self.stdout.write("\n".join(str(row) for row in rows) or "nothing")

    def _collect(self, start: datetime | None, end: datetime | None, as_json: bool) -> None:
        if (start is None) != (end is None):
            raise CommandError("give both --from and --to, or neither")
        if start and end:
            backfill.read_again(start=start, end=end)
        report = collection.collect_usage()
        if as_json:
            self.stdout.write(json.dumps(asdict(report)))
        else:
            self.stdout.write(
                f"{report.windows_read} hours read, {report.windows_settled} settled, "
                f"{report.windows_unread} not readable, {report.values_changed} values new or changed"
            )
        if report.problems:
            raise CommandError("; ".join(f"{problem} ({count} hours)" for problem, count in report.problems.items()))


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
