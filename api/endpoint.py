"""The frame of every operation: what it asks for and answers stands in one decorator above it.

    class TenantSuspension(ApiView):
        @endpoint("suspend_tenant", scope="tenants.manage", body=ReasonIn, reply=TenantOut)
        def post(self, request: Request, tenant: str) -> Response:
            found = queries.get_tenant(tenant, tenant_ids=self.visible_tenants)
            ...

Before the method runs, the caller is known, holds the scope, and `self.query` and `self.body` are validated. The
OpenAPI document (`api.schema`) is written from the same declaration, so the two cannot differ.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial, wraps
from typing import Any

from django.db.models import QuerySet
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.schemas.inspectors import ViewInspector
from rest_framework.views import APIView

from accounts.access import Principal
from accounts.roles import ALL_PERMISSIONS
from api.authentication import principal_of_request
from api.bodies import Body, JsonBody, NoBody, Query, read_body, read_query, refuse_unannounced
from api.doors import Door, Out, writer
from api.idempotency import REPLAYED, KeyRule, run_once
from api.pagination import page_reply, reply_with
from api.preconditions import etag, refuse_stale, require_header
from api.rendering import Json
from api.schema import DoorSchema
from core.actors import Actor
from core.paging import newest_page
from core.prepared import newest
from core.rehearsal import rehearse
from events.queries import search_events

Method = Callable[..., Any]  # a Response, or for files any HttpResponse


def endpoint(
    name: str,
    *,
    scope: str,
    query: type[Query] = Query,
    body: type[Body] = NoBody,
    reply: type[Out] | None = None,
    many: bool = False,
    status: int = 200,
    idempotency: KeyRule | None = None,
    if_match: bool = False,
    fact: str = "",
    uploads: Mapping[str, Any] | None = None,
    media_type: str = "",
    request_example: Any = None,
    reply_example: Any = None,
) -> Callable[[Method], Method]:
    """Declare an operation; its docstring's first line is the summary.

    `idempotency` is by default IGNORED for GET and uploads and ACCEPTED for the rest. With `if_match` the method must
    call `self.match(version)`. With `fact`, the name of the event that its success records, the view has a
    `found_done` that answers for a crashed attempt whose work is there. `uploads` maps media types to what they carry
    and leaves the body to the method; `media_type` is what a file is answered as. An operation whose query is a
    DryRunQuery can be rehearsed: nothing is kept of that, so it asks for no key. Raises ValueError at import for a
    scope that nobody can hold.
    """
    if scope not in ALL_PERMISSIONS:
        raise ValueError(f"no such scope: {scope}")

    def decorate(method: Method) -> Method:
        reads = method.__name__ == "get"
        door = Door(
            name=name,
            scope=scope,
            summary=(method.__doc__ or "").strip().partition("\n")[0],
            query=query,
            body=None if reads or uploads else body,
            reply=reply,
            many=many,
            status=status,
            idempotency=idempotency or (KeyRule.IGNORED if reads or uploads else KeyRule.ACCEPTED),
            if_match=if_match,
            fact=fact,
            uploads=uploads or {},
            media_type=media_type,
            request_example=request_example,
            reply_example=reply_example,
        )

        @wraps(method)
        def through_the_door(view: "ApiView", request: Request, *args: Any, **kwargs: Any) -> Response:
            view.prepare(door, request)

            def do() -> Response:
                return method(view, request, *args, **kwargs)

            if view.query.get("dry_run"):
                response = _as_dry_run(rehearse(do))
            else:
                response = run_once(
                    door.idempotency,
                    request,
                    do=do,
                    found_done=lambda request_id: view.look_for_fact(door, request_id),
                )
            view.refuse_unmatched(door, response)
            return response

        through_the_door.door = door  # type: ignore[attr-defined]
        return through_the_door

    return decorate


class JsonOnly(BaseContentNegotiation):
    """JSON whatever Accept says: a billing system that asks for text/html is better served with JSON than with 406."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """The parser of the Content-Type; None is a 415."""
        wanted = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == wanted), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Always the first."""
        renderer = next(iter(renderers))
        return renderer, renderer.media_type or "application/json"


class ApiView(APIView):
    """What every operation can use: who calls, what they sent, and how to answer."""

    http_method_names = ["get", "head", "post", "patch", "put", "delete"]
    parser_classes: Sequence[type[BaseParser]] = [JsonBody]
    renderer_classes: Sequence[type[BaseRenderer]] = [Json]
    content_negotiation_class = JsonOnly
    schema: ViewInspector | None = DoorSchema()
    query: dict[str, Any]
    body: dict[str, Any]
    _matched: bool

    def prepare(self, door: Door, request: Request) -> None:
        """Validate what was sent. Raises UnknownParameter, InvalidParameter, PreconditionRequired, ValidationError."""
        self.query = read_query(door.query, request.query_params)
        self.body, self._matched = {}, False
        if door.if_match:
            require_header(request)
        if door.body is not None:
            refuse_unannounced(request)
            self.body = read_body(door.body, request.data, partial=request.method == "PATCH")

    @property
    def principal(self) -> Principal:
        """Who calls."""
        return principal_of_request(self.request)

    @property
    def actor(self) -> Actor:
        """Who calls, as services and events want it."""
        return self.principal.actor

    @property
    def visible_tenants(self) -> Collection[int] | None:
        """The pks of the tenants the caller may see; None for all."""
        return self.principal.tenant_ids

    def match(self, version: int) -> None:
        """Compare If-Match with the version in hand. Raises PreconditionFailed."""
        refuse_stale(self.request, version=version)
        self._matched = True

    def look_for_fact(self, door: Door, request_id: str) -> Response | None:
        """The reply for what the caller's request of this id had committed before it crashed, if it had."""
        if not door.fact:
            return None
        done = search_events(tenant_ids=self.visible_tenants, name=door.fact, request_id=request_id)
        event = done.filter(actor_ref=self.actor.ref).first()
        return self.found_done(event.subject_ref) if event is not None else None

    def found_done(self, subject: str) -> Response | None:
        """The reply for work that is done already on `subject`; None when that is something else after all.

        Views whose operations name a `fact` say it themselves.
        """
        raise NotImplementedError

    def refuse_unmatched(self, door: Door, response: Response) -> None:
        """An operation that promised to compare versions and did not is a bug of ours, seen on its first run."""
        if door.if_match and not self._matched and REPLAYED not in response:
            raise RuntimeError(f"{door.name} never called self.match()")

    def show(self, kind: type[Out], row: Any) -> Any:
        """One row as JSON will show it; serializers find the caller in `context["principal"]`."""
        return writer(kind, {"principal": self.principal}).to_representation(row)

    def reply(
        self, kind: type[Out], row: Any, *, status: int = 200, version: int | None = None, location: str = ""
    ) -> Response:
        """One row as the answer, with its ETag when it has a version."""
        response = Response(self.show(kind, row), status=status)
        if version is not None:
            response["ETag"] = etag(version)
        if location:
            response["Location"] = location
        return response

    def page(self, queryset: QuerySet[Any], kind: type[Out], *, order: str = "-id") -> Response:
        """One page of rows as the answer. The operation's query is a PageQuery."""
        out = writer(kind, {"principal": self.principal})
        return page_reply(
            queryset,
            request=self.request,
            query=self.query,
            show=lambda rows: [out.to_representation(row) for row in rows],
            order=order,
        )

    def rows(
        self,
        found: Callable[..., QuerySet[Any]],
        columns: Sequence[str],
        show: Callable[[Any, Principal], dict[str, Any]],
        **filters: Any,
    ) -> Response:
        """A page, newest first, of `found(tenant_ids=…, **filters)`, shown from `columns` without making models.

        `show` gets jsonb as text; the key is among the columns as `pk`.
        """
        principal = self.principal

        def read(after: int | None, limit: int) -> list[Any]:
            return newest(found, columns, filters, tenant_ids=self.visible_tenants, after=after, limit=limit)

        return reply_with(
            partial(newest_page, read),
            request=self.request,
            query=self.query,
            show=lambda rows: [show(row, principal) for row in rows],
        )

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Nothing that the API says may be kept by a cache on the way: it is somebody's own."""
        response = super().finalize_response(request, response, *args, **kwargs)
        response.headers.setdefault("Cache-Control", "no-store")
        if request.method == "HEAD" and hasattr(response, "add_post_render_callback"):
            response.add_post_render_callback(_keep_headers_only)
        return response


def _as_dry_run(response: Response) -> Response:
    """What would have been answered, without the address and the version of what is not there."""
    response.status_code = 200
    for header in ("ETag", "Location"):
        del response[header]
    response["Dry-Run"] = "true"
    return response


def _keep_headers_only(response: Any) -> None:
    """HEAD says how long the body would be, and sends none: servers differ in whether they cut it off."""
    response["Content-Length"] = str(len(response.content))
    response.content = b""
