"""The OpenAPI 3.1 document, written from the declarations of `api.endpoint`."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_GET
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers

from api.bodies import DryRunQuery, Query
from api.doors import Door, door_of
from api.examples import add_examples
from api.idempotency import KeyRule
from api.problems import MEDIA_TYPE

PATH_IDS = {
    "tenant": "The tenant's id (`ten_…`), its slug, or `ext:` and its id in the billing system.",
    "at": "An instant in RFC 3339.",
    "invoice": "The invoice's id (`inv_…`) or its number.",
}


class FieldProblem(serializers.Serializer[Any]):
    """What is wrong with one part of a request."""

    pointer = serializers.CharField(help_text="JSON pointer into the body, or `?name` for a query parameter.")
    code = serializers.CharField()
    detail = serializers.CharField()


class Problem(serializers.Serializer[Any]):
    """RFC 9457 problem details."""

    type = serializers.URLField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    instance = serializers.CharField()
    code = serializers.CharField(help_text="Stable; what programs should look at.")
    request_id = serializers.CharField()
    retryable = serializers.BooleanField(help_text="Whether the same request may succeed later.")
    hint = serializers.CharField(allow_blank=True)
    errors = FieldProblem(many=True)  # type: ignore[assignment]  # DRF moves declared fields out of the class


class ApiKeyScheme(OpenApiAuthenticationExtension):
    """How the document describes our keys."""

    target_class = "api.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        """A bearer token."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "cpk_…"}


class DoorSchema(AutoSchema):
    """Reads an operation's Door instead of guessing from the view."""

    @property
    def door(self) -> Door:
        """The declaration. Raises TypeError for an operation without one: it must not be documented as open."""
        door = door_of(self.view, self.method)
        if door is None:
            raise TypeError(f"{self.method} {self.path} declares no endpoint()")
        return door

    def get_operation_id(self) -> str:
        return self.door.name

    def get_summary(self) -> str:
        return self.door.summary.rstrip(".")

    def get_description(self) -> str:  # type: ignore[override]  # drf-spectacular's own signature
        doc = getattr(self.view, self.method.lower()).__doc__ or ""
        rest = " ".join(doc.strip().partition("\n")[2].split())
        return f"{rest}\n\nNeeds the scope `{self.door.scope}`.".strip()

    def get_tags(self) -> list[str]:
        return [self.path.removeprefix("/api/v1/").partition("/")[0]]

    def get_request_serializer(self) -> Any:
        if self.door.uploads:
            return dict(self.door.uploads)
        body = self.door.body
        return body if body is not None and body().fields else None

    def get_response_serializers(self) -> Any:
        refusal = OpenApiResponse(Problem, description="Refused; `code` says why.")
        shown = {"200": OpenApiResponse(self.door.reply, description="What a dry run shows.")}
        return {
            **(shown if issubclass(self.door.query, DryRunQuery) and self.door.status != 200 else {}),
            self._reply_key(): self._reply(),
            ("4XX", MEDIA_TYPE): refusal,
            ("5XX", MEDIA_TYPE): OpenApiResponse(Problem, description="Failed on our side; nothing was done."),
        }

    def get_override_parameters(self) -> list[Any]:
        found: list[Any] = [_path_id(name) for name in self._variables()]
        if self.door.query is not Query:
            found.append(self.door.query)
        if self.door.idempotency is not KeyRule.IGNORED:
            required = self.door.idempotency is KeyRule.REQUIRED
            text = "A new UUID for each thing you want done; the same one to repeat a request. Kept for 72 hours."
            found.append(_header("Idempotency-Key", text, required=required))
        if self.door.if_match:
            found.append(_header("If-Match", "The ETag that the change was decided on, or `*`.", required=True))
        return found

    def get_examples(self) -> list[OpenApiExample]:
        found = []
        if self.door.request_example is not None:
            found.append(OpenApiExample("Request", value=self.door.request_example, request_only=True))
        if self.door.reply_example is not None:
            found.append(
                OpenApiExample(
                    "Reply",
                    value=self.door.reply_example,
                    response_only=True,
                    status_codes=[str(self.door.status)],
                )
            )
        return found

    def get_extensions(self) -> dict[str, Any]:
        return {"x-required-scope": self.door.scope}

    def _reply_key(self) -> Any:
        status = str(self.door.status)
        return (status, self.door.media_type) if self.door.media_type else status

    def _reply(self) -> Any:
        if self.door.media_type:
            return OpenApiResponse(OpenApiTypes.BINARY, description="The file.")
        reply = self.door.reply
        if reply is None:
            return OpenApiResponse(description="Done.")
        if not self.door.many:
            return reply
        return inline_serializer(
            name=f"{reply.__name__.removesuffix('Out')}Page",
            fields={
                "data": reply(many=True),
                "next_cursor": serializers.CharField(allow_null=True),
                "has_more": serializers.BooleanField(),
            },
        )

    def _variables(self) -> list[str]:
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]


@lru_cache(maxsize=1)
def document() -> Mapping[str, Any]:
    """The whole document, made once per process: it depends on nothing but the code."""
    return add_examples(SchemaGenerator().get_schema(request=None, public=True))


@require_GET
def openapi(_request: HttpRequest) -> JsonResponse:
    """/api/v1/openapi.json, open to everybody: it tells what the API is, and nothing of what is in it."""
    return JsonResponse(document(), headers={"Cache-Control": "public, max-age=300"})


def _path_id(name: str) -> OpenApiParameter:
    text = PATH_IDS.get(name, f"The {name.replace('_', ' ')}'s id.")
    return OpenApiParameter(name, OpenApiTypes.STR, OpenApiParameter.PATH, description=text, required=True)


def _header(name: str, text: str, *, required: bool) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.STR, OpenApiParameter.HEADER, description=text, required=required)
