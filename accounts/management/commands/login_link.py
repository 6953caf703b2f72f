"""manage.py login_link [NAME]"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from accounts.queries import find_operator
from accounts.services import create_login_link


class Command(BaseCommand):
    """Prints the path of a link that signs one person in, once, within 15 minutes."""

    help = "Print a path that signs an operator in once, within 15 minutes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", nargs="?", help="the operator; by default the first administrator")

    def handle(self, *, name: str | None, **_: Any) -> None:
        user = find_operator(name)
        if user is None:
            raise CommandError("There is no such operator. Make one with `create_operator NAME --role admin`.")
        self.stdout.write(reverse("login-link", args=[create_login_link(user_id=user.pk)]))
