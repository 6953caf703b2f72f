"""`manage.py verify --all`: does everything hold that must always hold? For every night, and after a restore."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing import verification as billing
from core.verification import run
from metering import verification as metering
from provisioning import verification as provisioning

CHECKS = (*billing.CHECKS, *metering.CHECKS, *provisioning.CHECKS)


class Command(BaseCommand):
    """Reads only; exits 1 when anything is broken."""

    help = "Check the invariants of money, usage and resources against the database."

    def add_arguments(self, parser: CommandParser) -> None:
        """`--all`, or the names of some; --json for programs."""
        parser.add_argument("check", nargs="*", help="names of checks; without any and without --all they are listed")
        parser.add_argument("--all", action="store_true", help="run every check")
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the checks and name what is broken."""
        known = {check.name: check for check in CHECKS}
        unknown = sorted(set(options["check"]) - set(known))
        if unknown:
            raise CommandError(f"There is no check {unknown[0]}. Checks are: {', '.join(known)}.")
        if not options["all"] and not options["check"]:
            self.stdout.write("\n".join(f"{check.name:26} {check.promise}" for check in CHECKS))
            return
        verdicts = run(CHECKS if options["all"] else [known[name] for name in options["check"]])
        broken = [verdict for verdict in verdicts if not verdict.holds]
        if options["json"]:
            said = [
                {
                    "check": verdict.check.name,
                    "promise": verdict.check.promise,
                    "holds": verdict.holds,
                    "violations": list(verdict.violations),
                    "is_cut": verdict.is_cut,
                }
                for verdict in verdicts
            ]
            self.stdout.write(json.dumps({"checks": said, "broken": len(broken)}, ensure_ascii=False))
        else:
            for verdict in verdicts:
                self.stdout.write(f"{'ok' if verdict.holds else 'BROKEN':7} {verdict.check.name}")
                for violation in verdict.violations:
                    self.stdout.write(f"        {violation}")
        if broken:
            raise CommandError(f"{len(broken)} of {len(verdicts)} checks are broken.")
