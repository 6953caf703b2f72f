"""manage.py issue_key --name N --scope tenants.view --scope tenants.manage [--tenant T] [--json]"""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.roles import ALL_PERMISSIONS
from accounts.services import issue_api_key
from core.actors import SYSTEM
from core.errors import DomainError
from tenants.queries import get_tenant


class Command(BaseCommand):
    """Issues an API key and prints it, once."""

    help = "Issue an API key and print it. It is shown this once and cannot be looked up later."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--name", required=True, help="what or who will use the key")
        parser.add_argument(
            "--scope",
            dest="scopes",
            required=True,
            nargs="+",
            action="extend",
            choices=[*sorted(ALL_PERMISSIONS), "all"],
            metavar="SCOPE",
            help="one or more of: %(choices)s",
        )
        parser.add_argument("--tenant", help="a tenant's id or ext:…; the key then sees this tenant alone")
        parser.add_argument("--json", dest="as_json", action="store_true", help="print id, key and expiry as JSON")

    def handle(self, *, name: str, scopes: list[str], tenant: str | None, as_json: bool, **_: Any) -> None:
        wanted = ALL_PERMISSIONS if "all" in scopes else frozenset(scopes)
        try:
            owner = get_tenant(tenant, tenant_ids=None) if tenant else None
            key, plaintext = issue_api_key(
                name=name, scopes=wanted, tenant_id=owner.pk if owner else None, actor=SYSTEM
            )
        except DomainError as refusal:
            reasons = " ".join(error.detail for error in refusal.errors)
            raise CommandError(f"{refusal.detail} {reasons} {refusal.hint}".strip()) from refusal
        if as_json:
            facts = {"id": key.public_id, "key": plaintext, "expires_at": key.expires_at.isoformat()}
            self.stdout.write(json.dumps(facts))
        else:
            self.stdout.write(plaintext)
