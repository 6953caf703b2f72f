"""Addresses that do not exist, answered like everything else, and the page that explains a problem's code."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_GET
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from api.endpoint import ApiView
from api.problems import known_problems, problem_url
from core.errors import NotFound


class KnowsNoAddress(BasePermission):
    """Whoever has a key is told that there is nothing here."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Raises NotFound, whatever the method."""
        raise NotFound("There is nothing at this address.", hint="See /api/v1/openapi.json for all addresses.")


class UnknownAddress(ApiView):
    """Any other address: 401 for strangers, 404 for the rest."""

    schema = None
    permission_classes = [KnowsNoAddress]


@require_GET
def explain_problem(_request: HttpRequest, code: str) -> HttpResponse:
    """What a problem's `type` points at: the code, its status and its meaning. Open to everybody."""
    kind = known_problems().get(code)
    if kind is None:
        return JsonResponse({"code": code, "detail": "No problem has this code."}, status=404)
    meaning = " ".join((kind.__doc__ or "").split())
    facts = {"type": problem_url(code), "code": code, "status": kind.status, "title": kind.title, "meaning": meaning}
    return JsonResponse(facts | {"retryable": kind.retryable})
