"""`manage.py inventory`: what AWS holds under our tags against what our rows say. Changes nothing in AWS."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from aws.errors import AwsError
from provisioning import queries
from provisioning.services.findings import keep_inventory
from provisioning.services.inventory import Inventory


class Command(BaseCommand):
    """Exit status 1 when something is orphaned (seen twice), missing, drifted or stuck and nobody ignores it, or when
    AWS cannot be listed completely.
    """

    help = "List orphans, missing, drifted and stuck resources in AWS, and keep what was seen."

    def add_arguments(self, parser: CommandParser) -> None:
        """`--json` prints one object."""
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """List, compare, keep, say."""
        try:
            inventory = keep_inventory()
        except AwsError as error:
            raise CommandError(f"AWS could not be listed completely: {error}") from error
        wrong = sum(finding.is_wrong for finding in queries.findings(tenant_ids=None))
        if options["json"]:
            self.stdout.write(json.dumps(inventory.as_dict() | {"wrong": wrong}, indent=2, default=str))
        else:
            self._say(inventory, wrong)
        if wrong or inventory.closed:
            raise SystemExit(1)

    def _say(self, inventory: Inventory, wrong: int) -> None:
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(inventory.counts.items())) or "nothing"
        self.stdout.write(f"AWS holds {counts} of ours.")
        for heading in ("orphans", "missing", "drift", "stuck", "foreign"):
            for found in getattr(inventory, heading):
                price = f" (${found.usd_per_hour:f}/h)" if found.usd_per_hour else ""
                line = f"{heading}: {found.kind} {found.name} in {found.account}/{found.region}: {found.detail}{price}"
                self.stdout.write(f"{line} {dict(found.before)} -> {dict(found.after)}" if found.after else line)
        for account, said in inventory.closed.items():
            self.stdout.write(f"account {account} cannot be entered: {said}")
        self.stdout.write(f"{wrong} of these need somebody." if wrong else "Nobody is needed.")
