"""Legal holds and deletion certificates."""

from typing import Any

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import PageQuery, ReasonIn
from api.endpoint import ApiView, endpoint
from api.idempotency import KeyRule
from api.tenants import TenantOut, TenantView
from provisioning import outcomes
from tenants.queries import get_tenant, legal_holds
from tenants.services.legal_holds import place_legal_hold, release_legal_hold


class LegalHoldOut(serializers.Serializer[Any]):
    """An order to erase nothing of a tenant."""

    id = serializers.CharField(source="public_id")
    reason = serializers.CharField()
    placed_at = serializers.DateTimeField()
    placed_by = serializers.CharField()
    released_at = serializers.DateTimeField(allow_null=True, help_text="Null: it is in force.")
    released_by = serializers.CharField(allow_blank=True)
    release_reason = serializers.CharField(allow_blank=True)


class CertificateOut(serializers.Serializer[Any]):
    """What a second read of AWS after a departure looked for and found."""

    id = serializers.CharField(source="public_id")
    tenant = serializers.CharField(source="tenant.public_id")
    number = serializers.IntegerField()
    is_clean = serializers.BooleanField(help_text="Every place was read again, and nothing was found.")
    issued_at = serializers.DateTimeField()
    content_sha256 = serializers.CharField(help_text="Of `content` as canonical JSON: sorted keys, no spaces, UTF-8.")
    pdf_sha256 = serializers.CharField()
    content = serializers.JSONField()


class LegalHolds(TenantView):
    """The holds of a tenant."""

    @endpoint("list_legal_holds", scope="tenants.view", query=PageQuery, reply=LegalHoldOut, many=True)
    def get(self, request: Request, tenant: str) -> Response:
        """List a tenant's legal holds, newest first."""
        return self.page(legal_holds(self.find(tenant).pk), LegalHoldOut)

    @endpoint(
        "place_legal_hold",
        scope="tenants.manage",
        body=ReasonIn,
        reply=TenantOut,
        idempotency=KeyRule.REQUIRED,
        fact="tenant.legal_hold_placed",
        request_example={"reason": "Case 7/2026."},
    )
    def post(self, request: Request, tenant: str) -> Response:
        """Place a legal hold: nothing that the tenant stored is erased until it is released."""
        found = self.find(tenant)
        place_legal_hold(tenant_id=found.pk, reason=self.body["reason"], actor=self.actor)
        return self.changed(found.public_id)


class LegalHoldRelease(TenantView):
    """Ending a hold."""

    @endpoint(
        "release_legal_hold",
        scope="tenants.manage",
        body=ReasonIn,
        reply=TenantOut,
        idempotency=KeyRule.REQUIRED,
        fact="tenant.legal_hold_released",
        request_example={"reason": "The case was settled."},
    )
    def post(self, request: Request, tenant: str) -> Response:
        """Release the legal hold that is in force."""
        found = self.find(tenant)
        release_legal_hold(tenant_id=found.pk, reason=self.body["reason"], actor=self.actor)
        return self.changed(found.public_id)


class CertificateList(ApiView):
    """The certificates of a tenant."""

    @endpoint("list_deletion_certificates", scope="tenants.view", query=PageQuery, reply=CertificateOut, many=True)
    def get(self, request: Request, tenant: str) -> Response:
        """List what second reads after a tenant's departure found, newest first."""
        found = get_tenant(tenant, tenant_ids=self.visible_tenants)
        rows = outcomes.deletion_certificates(found.pk, tenant_ids=self.visible_tenants)
        return self.page(rows, CertificateOut)


class CertificateDetail(ApiView):
    """One certificate."""

    @endpoint("get_deletion_certificate", scope="tenants.view", reply=CertificateOut)
    def get(self, request: Request, deletion_certificate: str) -> Response:
        """Read a deletion certificate."""
        return self.reply(
            CertificateOut, outcomes.deletion_certificate(deletion_certificate, tenant_ids=self.visible_tenants)
        )


class CertificatePdf(ApiView):
    """One certificate as PDF."""

    @endpoint("get_deletion_certificate_pdf", scope="tenants.view", media_type="application/pdf")
    def get(self, request: Request, deletion_certificate: str) -> HttpResponse:
        """Download a deletion certificate as PDF; its sha256 is in the JSON."""
        found = outcomes.deletion_certificate(deletion_certificate, tenant_ids=self.visible_tenants)
        response = HttpResponse(bytes(found.pdf), content_type="application/pdf")
        response["Content-Disposition"] = f'attachment; filename="{found.file_name}.pdf"'
        return response
