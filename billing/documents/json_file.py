"""The content as JSON, in the canonical form that was hashed; amounts are text, because a float cannot hold them."""

import json

from billing.documents.layout import Content


def render_json(content: Content, language: str, *, state: str) -> bytes:
    """All that the document says, in no particular language, with its state and its hash."""
    said = {**content, "state": state, "language": language}
    return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
