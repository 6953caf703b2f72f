"""Example replies for the OpenAPI document, made from its own schemas: what is shown is of the shape that is promised.

An operation that declares an example of its own (`api.endpoint`) keeps it.
"""

import re
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

ULID = "01m7wyrstv9qeqcgpqjtka1v0y"
# By the name of a property, where its type alone would show nothing of what it is.
BY_NAME: dict[str, Any] = {
    "account": "123456789012",
    "amount": "29.00",
    "code": "usage_incomplete",
    "contact_email": "billing@acme.example",
    "currency": "USD",
    "external_id": "CRM-42",
    "filename": "adapter_model.safetensors",
    "language": "en",
    "line": "pooled",
    "meter": "input_tokens",
    "name": "Acme Corp",
    "next_cursor": None,
    "number": "INV-2026-000131",
    "query": "us-west-2 ControlPlane/DataPlane InputTokens{TenantId=ten_…,AdapterVersion=adv_…,Line=pooled} Sum/3600s",
    "quantity": "1234567",
    "rate": "0.1",
    "region": "us-west-2",
    "request_id": "6c1f0c1e8a7b4d0f",
    "slug": "acme",
    "tenant": f"ten_{ULID}",
    "timezone": "Asia/Tokyo",
    "unit": "token",
    "url": "https://billing.example.com/hooks",
}
FILES = {
    "application/pdf": "%PDF-1.7 …",
    "text/csv": "invoice_number,state,kind,tenant,currency,position\r\n…",
    "application/json": '{"schema":"invoice/2", …}',
}
PREFIXES = {
    "adapters": "adp", "adapter-versions": "adv", "api-keys": "key", "events": "evt", "exports": "exp",
    "inventory": "fnd", "invoices": "inv", "invoice-lines": "il", "operations": "op", "rate-cards": "rc",
    "releases": "rel", "resources": "res", "scenarios": "scn", "tenants": "ten", "webhooks": "whe",
}  # fmt: skip
DEEPEST = 8
# For texts with a pattern: the first that fits.
SHAPES = ("1.25", "2026-10", "acme", "1")


def add_examples(document: dict[str, Any]) -> dict[str, Any]:
    """Give every successful reply an example, and every file a hint of what is in it."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method not in ("get", "post", "put", "patch", "delete"):
                continue
            for status, reply in operation["responses"].items():
                if status.startswith("2"):
                    _add(document, reply, path)
    return document


def _add(document: Schema, reply: dict[str, Any], path: str) -> None:
    for media_type, content in reply.get("content", {}).items():
        if "example" in content or "examples" in content:
            continue
        schema = content.get("schema", {})
        if schema.get("format") == "binary":
            content["example"] = FILES.get(media_type, "…")
        else:
            noun = path.removeprefix("/api/v1/").partition("/")[0]
            content["example"] = _value(document, schema, "", PREFIXES.get(noun, noun[:3]), 0)


def _value(document: Schema, schema: Schema, name: str, prefix: str, depth: int) -> Any:
    if "$ref" in schema:
        target: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return _value(document, target, name, prefix, depth)
    for choice in ("oneOf", "anyOf", "allOf"):
        if choice in schema:
            wanted = [each for each in schema[choice] if each.get("type") != "null" and each.get("enum") != [None]]
            return _value(document, wanted[0], name, prefix, depth)
    if "enum" in schema:
        return next(each for each in schema["enum"] if each is not None)
    if "const" in schema:
        return schema["const"]
    kind = _kind(schema)
    if name in BY_NAME and _fits(BY_NAME[name], schema):
        return BY_NAME[name]
    match kind:
        case "object":
            return _object(document, schema, prefix, depth)
        case "array":
            items = schema.get("items", {})
            return [] if depth > DEEPEST else [_value(document, items, name.removesuffix("s"), prefix, depth + 1)]
        case "string":
            return _text(schema, name, prefix)
        case "integer":
            return max(1, int(schema.get("minimum", 1)))
        case "number":
            return 1.5
        case "boolean":
            return True
    return None if kind == "null" else {}


def _object(document: Schema, schema: Schema, prefix: str, depth: int) -> dict[str, Any]:
    if depth > DEEPEST:
        return {}
    properties = schema.get("properties", {})
    found = {name: _value(document, each, name, prefix, depth + 1) for name, each in properties.items()}
    more = schema.get("additionalProperties")
    if isinstance(more, dict) and more and not found:
        found["input_tokens"] = _value(document, more, "", prefix, depth + 1)
    return found


def _text(schema: Schema, name: str, prefix: str) -> str:
    match schema.get("format"):
        case "date-time":
            return "2026-11-20T09:30:00Z"
        case "date":
            return "2026-11-20"
        case "uri":
            return "https://example.com/"
        case "uuid":
            return "7c0c3f6e-3c55-4b53-9d6c-2f2a54b9a111"
        case "email":
            return "billing@acme.example"
    if "pattern" in schema:
        return next((each for each in SHAPES if re.search(schema["pattern"], each)), "…")
    if name == "id":
        return f"{prefix}_{ULID}"
    return "9a1" + "0" * 61 if name.endswith("sha256") else "…"


def _kind(schema: Schema) -> str:
    """The type; of several, the one that is not null."""
    kind = schema.get("type", "")
    return next((each for each in kind if each != "null"), "null") if isinstance(kind, list) else str(kind)


def _fits(value: Any, schema: Schema) -> bool:
    kinds = schema.get("type", "")
    if value is None:
        return "null" in kinds if isinstance(kinds, list) else kinds == "null"
    return _kind(schema) == "string" and "format" not in schema
