"""`manage.py seed_rate_cards`: the example issuer, tax and price list, where they are missing."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from billing.services.seeding import seed_rate_cards
from core.actors import SYSTEM


class Command(BaseCommand):
    """Safe to run at every start: what is there stays as it is."""

    help = "Make the example issuer, tax rule and rate cards where they are missing, and tie the cards to the tiers."

    def add_arguments(self, parser: CommandParser) -> None:
        """`--json` prints the cards for a program."""
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Seed and say what there is."""
        cards = seed_rate_cards(actor=SYSTEM)
        if options["json"]:
            self.stdout.write(json.dumps({"rate_cards": [{"id": c.public_id, "name": str(c)} for c in cards]}))
            return
        for card in cards:
            self.stdout.write(f"{card.public_id}  {card}")
