"""manage.py create_operator NAME --role admin"""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from accounts.roles import Role
from accounts.services import create_operator
from core.actors import SYSTEM
from core.errors import DomainError


class Command(BaseCommand):
    """Adds a person of the operating team; the same name and role again changes nothing."""

    help = "Add a person of the operating team, who signs in with `login_link`."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--role", choices=Role.values, default=Role.ADMIN.value)
        parser.add_argument("--email", default="")

    def handle(self, *, name: str, role: str, email: str, **_: Any) -> None:
        try:
            user = create_operator(name=name, role=role, email=email, actor=SYSTEM)
        except DomainError as refusal:
            raise CommandError(f"{refusal.detail} {refusal.hint}") from refusal
        except ValidationError as invalid:
            raise CommandError(" ".join(invalid.messages)) from invalid
        self.stdout.write(f"{user.public_id} {user.username} ({user.role})")
