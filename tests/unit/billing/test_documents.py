"""The files that customers keep: reproducible, tagged, in both languages, and harmless whatever a name contains."""

import copy
import csv
import hashlib
import io
import json
import zipfile
from decimal import Decimal
from typing import Any

import pypdf
import pytest

from billing.documents import layout, wording
from billing.documents.csv_file import render_csv, safe_cell
from billing.documents.json_file import render_json
from billing.documents.pdf import render_pdf
from billing.documents.workbook import render_xlsx

SPAN = {"start": "2026-10-31T15:00:00Z", "end": "2026-11-30T15:00:00Z"}
FEE = {
    "position": 1,
    "description": "Basic platform fee",
    "description_ja": "ベーシック基本料金",
    "meter": "",
    "span": SPAN,
    "quantity": "1",
    "unit": "month",
    "unit_price": "4500",
    "per": 1,
    "amount": "4500",
    "tax_rate": "0.1",
    "explanation": {},
}


def step(label: str, quantity: int, up_to: int | None, price: str) -> dict[str, Any]:
    """One step of an explanation."""
    limit = None if up_to is None else str(up_to)
    return {
        "label": label,
        "quantity": str(quantity),
        "up_to": limit,
        "unit_price": price,
        "per": 1_000_000,
        "amount": "0",
    }


OVERAGE = {
    **FEE,
    "position": 2,
    "description": "Output tokens",
    "description_ja": "出力トークン",
    "meter": "output_tokens",
    "quantity": "12102884",
    "unit": "token",
    "unit_price": None,
    "per": 1_000_000,
    "amount": "13911",
    "explanation": {
        "share": {"seconds": 1, "of": 1},
        "steps": [step("included", 5_000_000, 5_000_000, "0"), step("band", 5_000_000, 10_000_000, "2025"),
                  step("band", 2_102_884, None, "1800.5")],
    },
}  # fmt: skip
CONTENT: dict[str, Any] = {
    "kind": "invoice",
    "number": "INV-2026-000131",
    "currency": "JPY",
    "period": SPAN,
    "timezone": "Asia/Tokyo",
    "issued_at": "2026-12-04T01:00:00Z",
    "issued_on": "2026-12-04",
    "due_on": "2027-01-03",
    "corrects": "",
    "reason": "",
    "seller": {
        "name": "Example Cloud K.K.",
        "address": "1-1-1 Marunouchi\nTokyo",
        "email": "billing@example.com",
        "registration_number": "T1234567890123",
        "payment_details": "Example Bank 1234567",
    },
    "buyer": {"id": "ten_1", "name": "株式会社髙﨑商店", "external_id": "CRM-42", "email": "k@example.com"},
    "lines": [FEE, OVERAGE],
    "taxes": [
        {"name": "Consumption tax", "name_ja": "消費税", "rate": "0.1", "taxable": "18411", "amount": "1841"},
    ],
    "subtotal": "18411",
    "tax": "1841",
    "total": "20252",
    "sha256": "3f" * 32,
}


@pytest.mark.parametrize("language", layout.LANGUAGES)
def test_a_pdf_is_tagged_and_the_same_bytes_each_time(language: str) -> None:
    first = render_pdf(CONTENT, language, state="finalized")
    assert first.startswith(b"%PDF-1.7") and b"/MarkInfo" in first and b"pdfuaid" in first
    assert f"/Lang ({language})".encode() in first or f"/Lang({language})".encode() in first
    assert render_pdf(CONTENT, language, state="finalized") == first


@pytest.mark.parametrize(
    "name",
    ['#panic("x")', "*bold* _it_ $x^2$ \\ <label> @ref", '#import "/etc/passwd"', 'a"b\\n{}', "']", "\u202eabc", "😀"],
)
def test_a_name_is_never_read_as_markup(name: str) -> None:
    content = copy.deepcopy(CONTENT)
    content["buyer"]["name"] = content["seller"]["name"] = content["reason"] = name
    assert render_pdf(content, "en", state="draft").startswith(b"%PDF")


def test_a_qualified_invoice_says_what_the_law_asks_for() -> None:
    page = layout.printed(CONTENT, "ja", state="finalized")
    assert page["title"] == "請求書"
    assert page["seller"]["registration_number"] == "T1234567890123"
    assert (page["buyer"]["name"], page["buyer"]["honorific"]) == ("株式会社髙﨑商店", "御中")
    assert page["totals"] == [
        ["小計（税抜）", "￥18,411"],
        ["10%対象（税抜）", "￥18,411"],
        ["消費税（10%）", "￥1,841"],
        ["合計（税込）", "￥20,252"],
    ]
    assert page["meta"][3] == ["取引期間", "2026年11月1日～2026年11月30日"]


def test_a_line_shows_its_steps_in_words() -> None:
    line = layout.printed(CONTENT, "en", state="finalized")["lines"][1]
    assert (line["quantity"], line["unit_price"], line["amount"]) == ("12,102,884 tokens", "", "¥13,911")
    assert line["details"] == [
        "5,000,000 of 5,000,000 included",
        "5,000,000 at ¥2,025 / 1M",
        "2,102,884 at ¥1,800.5 / 1M",
    ]


def test_a_draft_says_so_and_a_final_invoice_does_not() -> None:
    assert layout.printed(CONTENT, "en", state="draft")["state"] == "DRAFT – not an invoice"
    assert layout.printed(CONTENT, "en", state="finalized")["state"] == ""


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("0.6", "USD", "$0.60"),
        ("0.0000027", "USD", "$0.0000027"),
        ("405", "JPY", "¥405"),
        ("1.5", "KWD", "KWD1.500"),
        ("-2", "USD", "-$2.00"),
    ],
)
def test_a_unit_price_keeps_every_digit(amount: str, currency: str, text: str) -> None:
    assert layout.unit_price(amount, currency, "en").replace("\xa0", "") == text


def test_the_languages_have_the_same_words() -> None:
    for table in (wording.LABELS, wording.TITLES, wording.STATES, wording.UNITS, wording.PER, wording.STEPS):
        assert set(table["en"]) == set(table["ja"])  # type: ignore[index]


@pytest.mark.parametrize("text", ["=1+1", "+1;cmd", "-cmd", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_cell_never_runs(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-5", "12.50", "", "Acme", "0.1"])
def test_numbers_and_words_stay_as_they_are(text: str) -> None:
    assert safe_cell(text) == text


def test_the_csv_adds_up() -> None:
    content = copy.deepcopy(CONTENT)
    content["lines"][0]["description"] = '=HYPERLINK("x")'
    body = render_csv(content, "en", state="finalized")
    assert body.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"))))
    assert rows[0]["description"] == '\'=HYPERLINK("x")'
    parts = [Decimal(row["amount"]) for row in rows[:-1]]
    assert (sum(parts), rows[-1]["position"]) == (Decimal(rows[-1]["amount"]), "total")


def text_of(pdf: bytes) -> str:
    """What a reader can copy out of a PDF: it goes through the glyphs that the file embeds."""
    return "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages)


@pytest.mark.parametrize("language", layout.LANGUAGES)
def test_rare_forms_of_common_names_are_in_the_font(language: str) -> None:
    """髙 and 﨑 are variants outside JIS X 0208 that many fonts lack, and that people's names have."""
    pdf = render_pdf(CONTENT, language, state="finalized")
    assert "株式会社髙﨑商店" in text_of(pdf)
    assert b"pdfuaid" in pdf  # refused when a character could not be shown


def every_kind() -> dict[str, Any]:
    """A document with two rates of tax, a discount, an adjustment and prepaid credit."""
    extra = {**FEE, "meter": "", "unit": "unit", "unit_price": None, "amount": "-500", "explanation": {}}
    adjusted = {"adjustment": {"id": "adj_1", "reason": "Slow on 3 November", "by": "Mina"}}
    taxes = [CONTENT["taxes"][0], {"name": "Reduced", "name_ja": "軽減税率", "rate": "0.08", "taxable": "100",
             "amount": "8", "note": "Reduced rate applies", "note_ja": "軽減税率対象"}]  # fmt: skip
    lines = [
        {**FEE, "kind": "flat"},
        {**extra, "kind": "discount", "description": "Launch offer", "description_ja": "", "position": 2},
        {**extra, "kind": "adjustment", "description": "Goodwill", "explanation": adjusted, "tax_rate": "0.08"},
    ]
    drawn = {**extra, "kind": "credit", "description": "Prepaid credit", "amount": "1000", "position": 4}
    more = {"credits": [drawn], "prepaid": "1000", "amount_due": "19252", "taxes": taxes, "lines": lines}
    return {**copy.deepcopy(CONTENT), **more}


def test_every_kind_of_line_is_printed() -> None:
    page = layout.printed(every_kind(), "en", state="finalized")
    assert [(line["quantity"], line["amount"]) for line in page["lines"]][1:] == [("", "-¥500"), ("", "-¥500")]
    assert page["lines"][2]["details"] == ["Slow on 3 November", "Tax rate 8%"]
    assert page["totals"][-3:] == [
        ["Total", "¥20,252"],
        ["Paid from prepaid credit", "-¥1,000"],
        ["Left to pay", "¥19,252"],
    ]
    assert page["headline"]["amount"] == "¥19,252"
    assert page["notes"][0] == "Reduced rate applies"
    assert "Goodwill" in text_of(render_pdf(every_kind(), "en", state="finalized"))


def test_a_note_names_what_it_corrects() -> None:
    content = {**copy.deepcopy(CONTENT), "kind": "credit_note", "corrects": "INV-2026-000130", "reason": "Outage"}
    for language in layout.LANGUAGES:
        assert "INV-2026-000130" in text_of(render_pdf(content, language, state="finalized"))
    assert {row["corrects"] for row in rows_of(render_csv(content, "en", state="finalized"))} == {"INV-2026-000130"}


def rows_of(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"))))


def test_the_csv_shows_prepaid_credit_after_the_total() -> None:
    rows = rows_of(render_csv(every_kind(), "en", state="finalized"))
    assert [row["line_kind"] for row in rows] == [
        "flat", "discount", "adjustment", "tax", "tax", "total", "credit", "amount_due",
    ]  # fmt: skip


def cells(body: bytes) -> str:
    """The sheets and texts of a workbook as XML."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        names = [name for name in archive.namelist() if name.startswith("xl/worksheets/") or "haredStrings" in name]
        return "".join(archive.read(name).decode() for name in names)


def test_a_workbook_is_the_same_bytes_each_time_and_runs_nothing() -> None:
    content = copy.deepcopy(CONTENT)
    content["lines"][0]["description"] = '=HYPERLINK("http://x")'
    content["buyer"]["name"] = "@SUM(A1)"
    first = render_xlsx(content, "en", state="finalized")
    assert hashlib.sha256(render_xlsx(content, "en", state="finalized")).digest() == hashlib.sha256(first).digest()
    assert "<f>" not in cells(first) and "=HYPERLINK" in cells(first)
    assert "<v>4500</v>" in cells(first)


@pytest.mark.parametrize(("number", "is_number"), [("123456789012345", True), ("1234567890123456", False)])
def test_a_number_too_long_for_a_spreadsheet_stays_text(number: str, is_number: bool) -> None:
    content = copy.deepcopy(CONTENT)
    content["lines"][0]["quantity"] = number
    assert (f"<v>{number}</v>" in cells(render_xlsx(content, "en", state="finalized"))) is is_number


def test_the_json_says_what_was_hashed() -> None:
    said = json.loads(render_json(CONTENT, "ja", state="finalized"))
    assert said == {**CONTENT, "state": "finalized", "language": "ja"}
