"""/invoices/{invoice}/…: the files that a customer keeps."""

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request

from api.bodies import Query
from api.endpoint import endpoint
from api.invoices import InvoiceView
from billing.documents.layout import LANGUAGES
from billing.services import documents

WORKBOOK = documents.MEDIA_TYPES["xlsx"]


class LanguageQuery(Query):
    """In which language; the tenant's own by default."""

    language = serializers.ChoiceField(choices=LANGUAGES, required=False)


class InvoiceFile(InvoiceView):
    """The document as a file."""

    def file(self, ref: str, format: str) -> HttpResponse:
        """The file, with its sha256 as the ETag."""
        made = documents.render(invoice_id=self.find(ref).pk, format=format, language=self.query.get("language"))
        response = HttpResponse(made.body, content_type=made.media_type)
        response["Content-Disposition"] = f'attachment; filename="{made.filename}"'
        response["ETag"] = f'"{made.sha256}"'
        return response


class InvoicePdf(InvoiceFile):
    """The document as PDF."""

    @endpoint("get_invoice_pdf", scope="invoices.view", query=LanguageQuery, media_type="application/pdf")
    def get(self, request: Request, invoice: str) -> HttpResponse:
        """Download an invoice as PDF.

        A finalized one is the same bytes for ever; their sha256 is the ETag.
        """
        return self.file(invoice, "pdf")


class InvoiceCsv(InvoiceFile):
    """The document as CSV."""

    @endpoint("get_invoice_csv", scope="invoices.view", query=LanguageQuery, media_type="text/csv")
    def get(self, request: Request, invoice: str) -> HttpResponse:
        """Download an invoice's lines as CSV."""
        return self.file(invoice, "csv")


class InvoiceXlsx(InvoiceFile):
    """The document as a workbook."""

    @endpoint("get_invoice_xlsx", scope="invoices.view", query=LanguageQuery, media_type=WORKBOOK)
    def get(self, request: Request, invoice: str) -> HttpResponse:
        """Download an invoice's lines as a workbook."""
        return self.file(invoice, "xlsx")


class InvoiceJson(InvoiceFile):
    """The document as JSON."""

    @endpoint("get_invoice_json", scope="invoices.view", query=LanguageQuery, media_type="application/json")
    def get(self, request: Request, invoice: str) -> HttpResponse:
        """Download what an invoice says as JSON.

        This is the form that was hashed when it was finalized, with its state and language.
        """
        return self.file(invoice, "json")


class InvoiceFocus(InvoiceFile):
    """The document as FOCUS."""

    @endpoint("get_invoice_focus", scope="invoices.view", query=LanguageQuery, media_type="text/csv")
    def get(self, request: Request, invoice: str) -> HttpResponse:
        """Download an invoice's charges as FOCUS 1.2 (CSV).

        Costs of a credit note are negative; the rows of a document add up to its total.
        """
        return self.file(invoice, "focus")
