"""Reading what a browser sent without trusting it."""

from django.http import HttpRequest, QueryDict

LONGEST = 200


def text_of(request: HttpRequest, name: str) -> str:
    """A parameter of the address: trimmed, at most 200 characters, without what PostgreSQL cannot hold."""
    return request.GET.get(name, "").replace("\0", "").strip()[:LONGEST]


def posted(request: HttpRequest) -> QueryDict | None:
    """What a form is bound to: the fields that were sent, even when there are none, or None when it is only shown."""
    return request.POST if request.method == "POST" else None
