"""Every address of the dashboard, from the URL resolver itself: a new one joins the tests by itself."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.urls import reverse

from dashboard import urls

OPEN = {"login", "login-link"}
CHANGES_ONLY = {"logout", "operation-retry", "invoice-refresh"}  # answer POST and nothing else


class Address(NamedTuple):
    """A name, its view's permission (None where signing in is enough), and how many ids it takes."""

    name: str
    permission: str | None
    variables: tuple[str, ...]

    def path(self, refs: dict[str, str]) -> str:
        """The address of a thing that `refs` names."""
        given: dict[str, Any] = {name: refs[self.name] for name in self.variables if name == "ref"}
        if "format" in self.variables:
            given["format"] = "csv"
        return reverse(self.name, kwargs=given)


def addresses() -> Iterator[Address]:
    """All of them but the open ones."""
    for pattern in urls.urlpatterns:
        if pattern.name not in OPEN:
            permission = getattr(pattern.callback, "required_permission", None)
            yield Address(pattern.name, permission, tuple(pattern.pattern.converters))


ALL = list(addresses())
READABLE = [each for each in ALL if each.name not in CHANGES_ONLY]
ids = [each.name for each in ALL]
