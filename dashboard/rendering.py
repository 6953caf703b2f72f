"""How answers leave: a page or its fragment from one address, toasts, and redirects that htmx understands."""

import json
from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.utils.cache import patch_vary_headers
from django_htmx.http import HttpResponseClientRedirect


def wants_fragment(request: HttpRequest) -> bool:
    """Whether htmx asks for a part of the page; going back in history asks for all of it."""
    htmx = getattr(request, "htmx", None)
    return htmx is not None and bool(htmx) and not htmx.history_restore_request


def render_page_or_fragment(
    request: HttpRequest, page: str, fragment: str, context: Mapping[str, Any], *, status: int = 200
) -> HttpResponse:
    """`page` for a browser that opens the address, `fragment` (which the page includes) for htmx."""
    template = fragment if wants_fragment(request) else page
    response = render(request, template, dict(context), status=status)
    patch_vary_headers(response, ["HX-Request"])
    return response


def toast(response: HttpResponse, message: str, *, tone: str = "ok") -> HttpResponse:
    """`response` with a toast that site.js shows beside the swapped fragment; tone is `ok` or `bad`."""
    # ASCII because header values are; JSON escapes carry everything else.
    response["HX-Trigger"] = json.dumps({"toast": {"message": message, "tone": tone}}, ensure_ascii=True)
    return response


def done(request: HttpRequest, message: str, to: str, *args: Any) -> HttpResponse:
    """After a change: go to the page `to` (a URL name with arguments, or a path), which shows `message` as a toast."""
    messages.success(request, message)
    url = resolve_url(to, *args)
    if getattr(request, "htmx", False):
        return HttpResponseClientRedirect(url)
    return HttpResponseRedirect(url)
