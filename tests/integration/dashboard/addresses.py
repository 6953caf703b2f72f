"""Every address of the dashboard, from the URL resolver itself: a new one joins the tests by itself."""

from collections.abc import Iterator
from typing import NamedTuple

from django.urls import reverse

from dashboard import urls

OPEN = {"login", "login-link"}
# These answer a file, not a page.
FILES = {
    "certificate-download",
    "invoice-document",
    "planner-export",
    "catalogue-download",
    "usage-download",
    "tenant-policy",
}
OTHERS = {
    "format": "csv",
    "file": "json",
    "table": "instances",
    "meter": "input_tokens",
    "line": "strong-api",
    "route": "base",
    "version": "1",
}  # parts of an address that are no ids
CHANGES_ONLY = {
    "logout",
    "operation-retry",
    "operation-continue",
    "bulk-retry",
    "invoice-refresh",
    "webhook-test",
    "webhook-delivery-replay",
    "upload-begin",
    "upload-parts",
    "upload-complete",
    "upload-abort",
}  # answer POST and nothing else


class Address(NamedTuple):
    """A name, its view's permission (None where signing in is enough), and how many ids it takes."""

    name: str
    permission: str | None
    variables: tuple[str, ...]

    def path(self, refs: dict[str, str]) -> str:
        """The address of a thing that `refs` names."""
        return self.with_ref(refs.get(self.name, ""))

    def with_ref(self, ref: str) -> str:
        """The address of the thing with this id."""
        return reverse(self.name, kwargs={name: OTHERS.get(name, ref) for name in self.variables})


def addresses() -> Iterator[Address]:
    """All of them but the open ones."""
    for pattern in urls.urlpatterns:
        if pattern.name not in OPEN:
            permission = getattr(pattern.callback, "required_permission", None)
            yield Address(pattern.name, permission, tuple(pattern.pattern.converters))


ALL = list(addresses())
READABLE = [each for each in ALL if each.name not in CHANGES_ONLY]
PAGES = [each for each in READABLE if each.name not in FILES | {"export-download", "settings"}]
