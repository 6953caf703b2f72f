"""Who is at the door: turns a session into a principal, and asks for the permission before the view begins."""

from collections.abc import Callable, Collection
from functools import wraps
from typing import Any, cast

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import resolve_url
from django_htmx.http import HttpResponseClientRedirect

from accounts.access import Principal, can, require
from accounts.roles import ALL_PERMISSIONS
from accounts.services import principal_of
from core.actors import Actor


class OperatorRequest(HttpRequest):
    """A request whose sender is known and may do what the view does."""

    principal: Principal
    actor: Actor
    visible_tenants: Collection[int] | None
    htmx: Any


View = Callable[..., HttpResponseBase]


def requires(permission: str) -> Callable[[View], View]:
    """The view runs only for somebody who holds `permission`; strangers are sent to the login page.

    Sets `request.principal`, `request.actor` and `request.visible_tenants` (None: every tenant). Raises
    PermissionMissing for somebody known without the permission, and ValueError at import for a name nobody holds.
    """
    if permission not in ALL_PERMISSIONS:
        raise ValueError(f"no such permission: {permission}")

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return _to_login(request)
            known = cast(OperatorRequest, request)
            known.principal = principal_for(request)
            known.actor = known.principal.actor
            known.visible_tenants = known.principal.tenant_ids
            require(known.principal, permission)
            return view(known, *args, **kwargs)

        guarded.required_permission = permission  # type: ignore[attr-defined]
        return guarded

    return decorate


def principal_for(request: HttpRequest) -> Principal:
    """The signed-in person as a principal whose actor carries the request id. The caller checked that there is one."""
    return principal_of(request.user, request_id=getattr(request, "request_id", ""))  # type: ignore[arg-type]


def permissions_by_noun(principal: Principal) -> dict[str, dict[str, bool]]:
    """What templates ask: `may.invoices.finalize` is true when the principal holds `invoices.finalize`."""
    table: dict[str, dict[str, bool]] = {}
    for permission in ALL_PERMISSIONS:
        noun, verb = permission.split(".")
        table.setdefault(noun, {})[verb] = can(principal, permission)
    return table


def _to_login(request: HttpRequest) -> HttpResponse:
    # A fragment must not be replaced by a login form: the whole page goes there, and comes back to where it was.
    if getattr(request, "htmx", False):
        page = request.htmx.current_url_abs_path or "/"  # type: ignore[attr-defined]
        return HttpResponseClientRedirect(redirect_to_login(page, resolve_url("login")).url)
    wanted = request.get_full_path() if request.method == "GET" else resolve_url("home")
    return redirect_to_login(wanted, resolve_url("login"))
