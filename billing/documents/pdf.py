"""The PDF, set by Typst: the same content gives the same bytes, in either language, tagged for screen readers."""

import json
from datetime import datetime
from pathlib import Path

import typst

from billing.documents.layout import Content, printed

FOLDER = Path(__file__).parent
TEMPLATE = FOLDER / "invoice.typ"
FONTS = FOLDER / "fonts"


def render_pdf(content: Content, language: str, *, state: str) -> bytes:
    """A tagged PDF (PDF/UA-1). The content goes in as one JSON string, so nothing in it is ever read as markup.

    The document's date is when the content was closed, not now: a second rendering is byte for byte the first. A name
    with a character that no font here can show is still printed, with an empty box in its place; such a page is
    tagged too but cannot claim PDF/UA, which promises that all of its text can be read.
    """
    try:
        return _compile(content, language, state, is_accessible=True)
    except typst.TypstError as refusal:
        if "could not be displayed" not in str(refusal):
            raise
        return _compile(content, language, state, is_accessible=False)


def _compile(content: Content, language: str, state: str, *, is_accessible: bool) -> bytes:
    closed_at = datetime.fromisoformat(content["issued_at"] or content["period"]["end"])
    pdf = typst.compile(
        TEMPLATE,
        root=FOLDER,
        font_paths=[FONTS],
        ignore_system_fonts=True,
        format="pdf",
        sys_inputs={"data": json.dumps(printed(content, language, state=state), ensure_ascii=False)},
        pdf_standards=["ua-1"] if is_accessible else None,
        timestamp=int(closed_at.timestamp()),
    )
    return bytes(pdf)
