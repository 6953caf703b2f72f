"""`Authorization: Bearer cpk_…` becomes an accounts.access.Principal; anything else is a 401 that says why."""

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.access import Principal
from accounts.services import Unauthenticated, authenticate_api_key

LONGEST_HEADER = 200


class ApiKeyAuthentication(BaseAuthentication):
    """API keys only: the dashboard's cookies open nothing here, so no forged form can reach the API."""

    def authenticate(self, request: Request) -> tuple[None, Principal]:
        """The key's principal as `request.auth`. Raises Unauthenticated and its kinds."""
        header = request.META.get("HTTP_AUTHORIZATION", "")
        scheme, _, key = header.partition(" ")
        if scheme.lower() != "bearer" or not key.strip() or len(header) > LONGEST_HEADER:
            raise Unauthenticated(
                "The request carries no API key.", hint="Send the header `Authorization: Bearer cpk_…`."
            )
        return None, authenticate_api_key(plaintext=key.strip(), request_id=request_id_of(request))

    def authenticate_header(self, request: Request) -> str:
        """What WWW-Authenticate says."""
        return 'Bearer realm="control plane"'


def principal_of_request(request: Request) -> Principal:
    """Who calls; authentication has put it there."""
    principal = request.auth
    if not isinstance(principal, Principal):
        raise Unauthenticated("The request carries no API key.")
    return principal


def request_id_of(request: Request | HttpRequest) -> str:
    """The id that the middleware gave to this request."""
    return str(getattr(request, "request_id", ""))
