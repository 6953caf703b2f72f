"""`manage.py inventory`: what AWS holds under our tags against what our rows say. Changes nothing."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from aws.errors import AwsError
from provisioning.services.inventory import take_inventory


class Command(BaseCommand):
    """Exit status 1 when something is orphaned, missing or stuck, or when AWS cannot be listed completely."""

    help = "List orphans, missing and stuck resources in AWS."

    def add_arguments(self, parser: CommandParser) -> None:
        """`--json` prints one object."""
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """List, compare, say."""
        try:
            inventory = take_inventory()
        except AwsError as error:
            raise CommandError(f"AWS could not be listed completely: {error}") from error
        found = inventory.as_dict()
        if options["json"]:
            self.stdout.write(json.dumps(found, indent=2))
        else:
            counts = ", ".join(f"{count} {kind}" for kind, count in sorted(inventory.counts.items())) or "nothing"
            self.stdout.write(f"AWS holds {counts} of ours.")
            for heading in ("orphans", "missing", "stuck", "foreign"):
                for row in found[heading]:
                    self.stdout.write(f"{heading}: {row['kind']} {row['name']} in {row['region']}: {row['detail']}")
        if not inventory.is_clean:
            raise SystemExit(1)
