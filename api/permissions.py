"""Every method of every view declares the scope it asks for (`api.endpoint`); what declares none is refused."""

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.access import require
from api.authentication import principal_of_request
from api.doors import door_of
from core.errors import Forbidden

if TYPE_CHECKING:
    from rest_framework.views import APIView


class ScopeUndeclared(Forbidden):
    """The view says nothing about who may call it, so nobody may."""

    code = "scope_undeclared"


class HasScope(BasePermission):
    """Asks accounts.access for the scope of the method that is called."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        """Raises PermissionMissing or ScopeUndeclared; True for a method the view lacks, which is then a 405."""
        method = (request.method or "").lower()
        if method not in view.http_method_names or not hasattr(view, method):
            return True
        door = door_of(view, method)
        if door is None:
            raise ScopeUndeclared("This operation is not open to API keys.")
        require(principal_of_request(request), door.scope)
        return True
