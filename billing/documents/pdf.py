"""The PDF, set by Typst: the same content gives the same bytes, in either language, tagged for screen readers."""

from datetime import datetime
from pathlib import Path

from billing.documents.layout import Content, printed
from core.typesetting import typeset

TEMPLATE = Path(__file__).parent / "invoice.typ"


def render_pdf(content: Content, language: str, *, state: str) -> bytes:
    """The document of a content; its date is when the content was closed, not now. See `core.typesetting.typeset`."""
    closed_at = datetime.fromisoformat(content["issued_at"] or content["period"]["end"])
    return typeset(TEMPLATE, printed(content, language, state=state), dated=closed_at)
