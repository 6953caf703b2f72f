"""Reading an address's parameters without trusting them."""

from django.http import HttpRequest

LONGEST = 200


def text_of(request: HttpRequest, name: str) -> str:
    """A parameter of the address: trimmed, at most 200 characters, without what PostgreSQL cannot hold."""
    return request.GET.get(name, "").replace("\0", "").strip()[:LONGEST]
