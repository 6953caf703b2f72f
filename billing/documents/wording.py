"""The words of the documents in the languages that customers choose; figures and dates come from CLDR (Babel)."""

LOCALES = {"en": "en_US", "ja": "ja_JP"}

TITLES = {
    "en": {"invoice": "Invoice", "credit_note": "Credit note", "debit_note": "Debit note"},
    "ja": {"invoice": "請求書", "credit_note": "返還請求書", "debit_note": "追加請求書"},
}

STATES = {
    "en": {"draft": "DRAFT – not an invoice", "void": "VOID"},
    "ja": {"draft": "下書き（正式な請求書ではありません）", "void": "無効"},
}

LABELS = {
    "en": {
        "number": "Number",
        "issued": "Issued",
        "due": "Due",
        "period": "Period",
        "corrects": "Corrects",
        "reason": "Reason",
        "bill_to": "Bill to",
        "from": "From",
        "registration": "Registration number",
        "customer_id": "Customer",
        "amount_due": "Amount due",
        "amount_credited": "Amount credited",
        "description": "Description",
        "quantity": "Quantity",
        "unit_price": "Unit price",
        "amount": "Amount",
        "subtotal": "Subtotal",
        "taxable": "Taxable at {rate}",
        "tax": "{name} {rate}",
        "total": "Total",
        "prepaid": "Paid from prepaid credit",
        "due_left": "Left to pay",
        "tax_rate": "Tax rate {rate}",
        "tax_number": "Tax number",
        "payment": "Payment",
        "notes": "Notes",
        "rounding": "Each line is rounded once, half up, to the smallest unit of {currency}; tax once per rate.",
        "timezone": "Days begin at midnight in {timezone}.",
        "page": "Page {n} of {total}",
        "fingerprint": "Content SHA-256",
        "honorific": "",
    },
    "ja": {
        "number": "番号",
        "issued": "発行日",
        "due": "お支払期限",
        "period": "取引期間",
        "corrects": "対象の請求書",
        "reason": "理由",
        "bill_to": "請求先",
        "from": "発行者",
        "registration": "登録番号",
        "customer_id": "お客様番号",
        "amount_due": "ご請求金額（税込）",
        "amount_credited": "返還金額（税込）",
        "description": "品目",
        "quantity": "数量",
        "unit_price": "単価",
        "amount": "金額（税抜）",
        "subtotal": "小計（税抜）",
        "taxable": "{rate}対象（税抜）",
        "tax": "{name}（{rate}）",
        "total": "合計（税込）",
        "prepaid": "前払残高からのお支払い",
        "due_left": "差引ご請求額",
        "tax_rate": "税率 {rate}",
        "tax_number": "税務番号",
        "payment": "お振込先",
        "notes": "備考",
        "rounding": "金額は明細ごとに一度{currency}の最小単位に四捨五入し、税額は税率ごとに一度端数処理しています。",
        "timezone": "日付の区切りは{timezone}の午前0時です。",
        "page": "{total}ページ中{n}ページ",
        "fingerprint": "内容のSHA-256",
        "honorific": "御中",
    },
}

# (singular, plural); Japanese has one form and puts the unit after the figure without a space.
UNITS = {
    "en": {
        "token": ("token", "tokens"),
        "request": ("request", "requests"),
        "second": ("second", "seconds"),
        "hour": ("hour", "hours"),
        "month": ("month", "months"),
        "unit": ("unit", "units"),
    },
    "ja": {
        "token": ("トークン", "トークン"),
        "request": ("リクエスト", "リクエスト"),
        "second": ("秒", "秒"),
        "hour": ("時間", "時間"),
        "month": ("か月", "か月"),
        "unit": ("単位", "単位"),
    },
}

PER = {"en": {1: "", 1_000: "1K ", 1_000_000: "1M "}, "ja": {1: "", 1_000: "1,000", 1_000_000: "100万"}}

STEPS = {
    "en": {
        "included": "{quantity} of {limit} included",
        "band": "{quantity} at {price}",
        "volume": "{quantity} at {price}",
        "packages": "{quantity} packages at {price}",
        "fee": "{share} of the month",
        "commitment": "Commitment for this period {amount}",
        "spent": "Already charged {amount}",
    },
    "ja": {
        "included": "基本枠 {limit}のうち{quantity}",
        "band": "{quantity} × {price}",
        "volume": "{quantity} × {price}",
        "packages": "{quantity}パッケージ × {price}",
        "fee": "月額の{share}",
        "commitment": "当期間の最低利用料 {amount}",
        "spent": "請求済み {amount}",
    },
}
