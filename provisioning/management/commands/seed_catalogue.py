"""`manage.py seed_catalogue`: the example base model, serving lines and tiers, where they are missing."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from core.actors import SYSTEM
from provisioning.services.catalogue import seed_catalogue


class Command(BaseCommand):
    """Safe to run at every start: what is there stays as it is."""

    help = "Make the example base model, serving profile, serving lines and tiers where they are missing."

    def add_arguments(self, parser: CommandParser) -> None:
        """`--json` prints what there is for a program."""
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Seed and say what there is."""
        there = seed_catalogue(actor=SYSTEM)
        if options["json"]:
            self.stdout.write(json.dumps(there))
            return
        for kind, names in there.items():
            self.stdout.write(f"{kind.replace('_', ' ')}: {', '.join(names)}")
