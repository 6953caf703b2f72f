"""Rendering an invoice, and keeping what was rendered: a customer gets the same bytes for ever."""

import hashlib
from dataclasses import dataclass

from django.db import transaction

from billing.content import content_of
from billing.documents.csv_file import render_csv, render_focus
from billing.documents.json_file import render_json
from billing.documents.layout import LANGUAGES
from billing.documents.pdf import render_pdf
from billing.documents.workbook import render_xlsx
from billing.models import Invoice, InvoiceDocument
from billing.states import InvoiceState
from core import clock
from core.errors import Invalid

RENDERERS = {"pdf": render_pdf, "csv": render_csv, "xlsx": render_xlsx, "json": render_json, "focus": render_focus}
MEDIA_TYPES = {
    "pdf": "application/pdf",
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "json": "application/json",
    "focus": "text/csv; charset=utf-8",
}
ENDINGS = {"focus": "focus.csv"}


class UnknownDocument(Invalid):
    """There is no such format or language."""

    code = "unknown_document"
    title = "No such document"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A file and how to serve it."""

    body: bytes
    sha256: str
    media_type: str
    filename: str


def render(*, invoice_id: int, format: str, language: str | None = None) -> Rendered:
    """The invoice as a file, in its tenant's language unless another is named.

    A draft is rendered afresh and says so on the page; what is finalized is rendered once, kept and served from there.
    Raises UnknownDocument.
    """
    invoice = Invoice.objects.select_related("corrects", "tenant").get(pk=invoice_id)
    language = language or invoice.language
    if format not in RENDERERS or language not in LANGUAGES:
        raise UnknownDocument(
            f"There is no {format} in {language}.",
            hint=f"Formats are {', '.join(RENDERERS)}; languages are {', '.join(LANGUAGES)}.",
        )
    if invoice.state == InvoiceState.DRAFT:
        return _rendered(invoice, format, language, _body(invoice, format, language, "draft"))
    kept = _kept(invoice, format, language)
    if kept is None:
        body = _body(invoice, format, language, "finalized")
        with transaction.atomic(durable=True):
            # Two requests may render at once; both made the same bytes, and one of them keeps its own.
            InvoiceDocument.objects.bulk_create(
                [
                    InvoiceDocument(
                        invoice=invoice,
                        format=format,
                        language=language,
                        sha256=hashlib.sha256(body).hexdigest(),
                        body=body,
                        created_at=clock.now(),
                    )
                ],
                ignore_conflicts=True,
            )
        kept = _kept(invoice, format, language)
    assert kept is not None  # it was there, or it was kept just now
    return _rendered(invoice, format, language, kept)


def kept_hashes(invoice_id: int) -> dict[tuple[str, str], str]:
    """The sha256 of every file of an invoice that was handed out, by format and language."""
    kept = InvoiceDocument.objects.filter(invoice_id=invoice_id).values_list("format", "language", "sha256")
    return {(format, language): sha256 for format, language, sha256 in kept}


def _kept(invoice: Invoice, format: str, language: str) -> bytes | None:
    found = InvoiceDocument.objects.filter(invoice=invoice, format=format, language=language).first()
    return None if found is None else bytes(found.body)


def _body(invoice: Invoice, format: str, language: str, state: str) -> bytes:
    lines = list(invoice.lines.order_by("position"))
    content = content_of(invoice, lines, corrects=str(invoice.corrects) if invoice.corrects else "")
    if state != "draft":
        content["sha256"] = invoice.content_sha256
    if format == "focus":
        content["tags"] = invoice.tenant.tags
    return RENDERERS[format](content, language, state=state)


def _rendered(invoice: Invoice, format: str, language: str, body: bytes) -> Rendered:
    name = f"{invoice.number or f'draft-{invoice.public_id}'}-{language}.{ENDINGS.get(format, format)}"
    return Rendered(body, hashlib.sha256(body).hexdigest(), MEDIA_TYPES[format], name)
