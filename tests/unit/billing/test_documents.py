"""The files that customers keep: reproducible, tagged, in both languages, and harmless whatever a name contains."""

import copy
import csv
import io
from decimal import Decimal
from typing import Any

import pytest

from billing.documents import layout, wording
from billing.documents.csv_file import render_csv, safe_cell
from billing.documents.pdf import render_pdf

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
