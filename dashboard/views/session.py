"""Signing in by a one-time link or a password, and signing out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth import login as start_session
from django.contrib.auth import logout as end_session
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.services import redeem_login_link
from dashboard.reading import posted

if TYPE_CHECKING:
    from accounts.models import User

BACKEND = "django.contrib.auth.backends.ModelBackend"


@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def login(request: HttpRequest) -> HttpResponse:
    """The page where a password is typed, and where it says how to get a one-time link."""
    if request.user.is_authenticated:
        return redirect("home")
    form = AuthenticationForm(request, data=posted(request))
    for field in form.fields.values():
        field.widget.attrs["class"] = "form-control"
    if request.method == "POST" and form.is_valid():
        return _enter(request, form.get_user())
    status = 422 if request.method == "POST" else 200
    return render(request, "dashboard/session/login.html", {"form": form, "next": _next(request)}, status=status)


@sensitive_variables("token")
@require_safe
def login_link(request: HttpRequest, token: str) -> HttpResponse:
    """Sign in whoever holds this link. Raises LoginLinkRefused when it was used or has run out."""
    # A preview that only asks for the headers must not use the link up.
    if request.method == "HEAD":
        return HttpResponse()
    return _enter(request, redeem_login_link(token))


@require_POST
def logout(request: HttpRequest) -> HttpResponse:
    """End the session."""
    end_session(request)
    return redirect("login")


def _enter(request: HttpRequest, user: User) -> HttpResponse:
    start_session(request, user, backend=BACKEND)
    return HttpResponseRedirect(_next(request) or resolve_url("home"))


def _next(request: HttpRequest) -> str:
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    is_ours = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if is_ours else ""
