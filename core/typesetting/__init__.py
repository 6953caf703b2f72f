"""Sets a PDF by Typst: the same template and data give the same bytes, tagged for screen readers."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import typst

FONTS = Path(__file__).parent / "fonts"


def typeset(template: Path, data: Mapping[str, Any], *, dated: datetime) -> bytes:
    """A tagged PDF (PDF/UA-1) of `template`, which reads `data` from `sys.inputs.data`.

    The data goes in as one JSON string, so nothing in it is ever read as markup. The document's date is `dated`, not
    now: a second rendering is byte for byte the first. Text with a character that no font here can show is still
    printed, with an empty box in its place; such a page is tagged too but cannot claim PDF/UA, which promises that all
    of its text can be read.
    """
    try:
        return _compile(template, data, dated, is_accessible=True)
    except typst.TypstError as refusal:
        if "could not be displayed" not in str(refusal):
            raise
        return _compile(template, data, dated, is_accessible=False)


def _compile(template: Path, data: Mapping[str, Any], dated: datetime, *, is_accessible: bool) -> bytes:
    pdf = typst.compile(
        template,
        root=template.parent,
        font_paths=[FONTS],
        ignore_system_fonts=True,
        format="pdf",
        sys_inputs={"data": json.dumps(data, ensure_ascii=False)},
        pdf_standards=["ua-1"] if is_accessible else None,
        timestamp=int(dated.timestamp()),
    )
    return bytes(pdf)
