"""/exports: files over many rows, made in the background."""

from typing import Any

from django.http import HttpResponseBase, StreamingHttpResponse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import Principal, require
from api.bodies import Body, PageQuery, Text
from api.endpoint import ApiView, endpoint
from billing import queries
from billing.exports.datasets import DATASETS
from billing.exports.writers import MEDIA_TYPES
from billing.queries.exports import GUARDED, hidden_from
from billing.services import exports
from billing.states import ExportState, InvoiceState
from tenants.queries import get_tenant

EXAMPLE = {
    "dataset": "invoice-lines",
    "format": "csv",
    "start": "2026-10-01T00:00:00Z",
    "end": "2026-11-01T00:00:00Z",
}


class ProgressOut(serializers.Serializer[Any]):
    """How far an export is, in documents, tenants or events."""

    done = serializers.IntegerField(source="progress_done")
    total = serializers.IntegerField(source="progress_total")
    percent = serializers.IntegerField()


class ExportOut(serializers.Serializer[Any]):
    """A file that somebody asked for."""

    id = serializers.CharField(source="public_id")
    dataset = serializers.ChoiceField(choices=list(DATASETS))
    format = serializers.ChoiceField(choices=list(MEDIA_TYPES))
    tenant = serializers.CharField(
        source="tenant.public_id", default=None, allow_null=True, help_text="Whose data it holds; null for everybody's."
    )
    start = serializers.DateTimeField(source="period_start")
    end = serializers.DateTimeField(source="period_end")
    states = serializers.ListField(source="invoice_states", child=serializers.CharField())
    state = serializers.ChoiceField(choices=ExportState.choices)
    progress = ProgressOut(source="*")
    rows = serializers.IntegerField(source="row_count")
    control_totals = serializers.DictField(
        child=serializers.DictField(child=serializers.CharField()),
        help_text="What the rows add up to, by currency or meter; of documents, the sum of their totals.",
    )
    size_bytes = serializers.IntegerField()
    sha256 = serializers.CharField(allow_blank=True)
    problem = serializers.CharField(allow_blank=True)
    requested_by = serializers.CharField(source="actor_name")
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True, help_text="When the file is erased; the figures stay.")
    available_actions = serializers.SerializerMethodField()
    download = serializers.SerializerMethodField()

    def get_available_actions(self, export: Any) -> list[str]:
        """What the caller may do with it now."""
        return ["download"] if export.state == ExportState.DONE else []

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_download(self, export: Any) -> str | None:
        """Where the file is; null until there is one."""
        here = f"/api/v1/exports/{export.public_id}/download"
        return here if export.state == ExportState.DONE else None


class ExportIn(Body):
    """What to export."""

    dataset = serializers.ChoiceField(choices=list(DATASETS), help_text="`events` also needs the scope `audit.view`.")
    format = serializers.ChoiceField(choices=list(MEDIA_TYPES), help_text="`focus-1.2` comes as csv or jsonl.")
    tenant = Text(
        max_length=110, required=False, allow_null=True, default=None, help_text="A tenant's id, slug or `ext:…`."
    )
    start = serializers.DateTimeField(help_text="Documents by when their period begins; from then on.")
    end = serializers.DateTimeField(help_text="Up to, but not including; at most 366 days later.")
    states = serializers.ListField(
        child=serializers.ChoiceField(choices=InvoiceState.choices),
        default=list,
        max_length=len(InvoiceState),
        help_text="Of documents; by default finalized and paid.",
    )


class ExportView(ApiView):
    """What the operations on exports share."""

    def find(self, ref: str) -> Any:
        """The export as the caller sees it. Raises NotFound."""
        return queries.get_export(ref, tenant_ids=self.visible_tenants, without=hidden_from(self.principal))


class ExportList(ExportView):
    """All exports."""

    @endpoint("list_exports", scope="exports.view", query=PageQuery, reply=ExportOut, many=True)
    def get(self, request: Request) -> Response:
        """List exports, newest first."""
        found = queries.list_exports(tenant_ids=self.visible_tenants, without=hidden_from(self.principal))
        return self.page(found, ExportOut)

    @endpoint(
        "create_export", scope="exports.create", body=ExportIn, reply=ExportOut, status=202, request_example=EXAMPLE
    )
    def post(self, request: Request) -> Response:
        """Ask for an export.

        It is made in the background: read it until its state is `done`, then download it. A key that is bound to a
        tenant exports that tenant's data. Amounts of credit notes are negative, so that columns can be added up.
        """
        body = self.body
        if body["dataset"] in GUARDED:
            require(self.principal, GUARDED[body["dataset"]])
        export = exports.request_export(
            dataset=body["dataset"],
            format=body["format"],
            tenant_id=whose(self.principal, body["tenant"]),
            start=body["start"],
            end=body["end"],
            states=body["states"],
            actor=self.actor,
        )
        return self.reply(ExportOut, export, status=202, location=f"/api/v1/exports/{export.public_id}")


class ExportDetail(ExportView):
    """One export."""

    @endpoint("get_export", scope="exports.view", reply=ExportOut)
    def get(self, request: Request, export: str) -> Response:
        """Read an export: how far it is, and what came of it."""
        return self.reply(ExportOut, self.find(export))


class ExportFile(ExportView):
    """The file."""

    @endpoint("download_export", scope="exports.view", media_type="application/octet-stream")
    def get(self, request: Request, export: str) -> HttpResponseBase:
        """Download an export's file.

        Its sha256 is the ETag. Until it is made, and once it is erased, this is a 409 `export_not_ready`.
        """
        return file_reply(self.find(export))


def whose(principal: Principal, ref: str | None) -> int | None:
    """The tenant that an export is about; None for all of them. Raises NotFound for one that the caller cannot see."""
    if ref:
        return int(get_tenant(ref, tenant_ids=principal.tenant_ids).pk)
    return exports.only_tenant(principal.tenant_ids)


def file_reply(export: Any) -> HttpResponseBase:
    """The file as a stream. Raises ExportNotReady."""
    exports.refuse_unready(export)
    response = StreamingHttpResponse(exports.pieces(export), content_type=MEDIA_TYPES[export.format])
    response["Content-Length"] = str(export.size_bytes)
    response["Content-Disposition"] = f'attachment; filename="{export.filename}"'
    response["ETag"] = f'"{export.sha256}"'
    return response
