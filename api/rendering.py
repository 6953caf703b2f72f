"""JSON as bytes, by msgspec."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
from django.utils.encoding import force_str
from django.utils.functional import Promise
from rest_framework.renderers import BaseRenderer


class Json(BaseRenderer):
    """application/json in UTF-8, without spaces."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        """The document; nothing at all for None, as in a 204."""
        if data is None:
            return b""
        try:
            return msgspec.json.encode(data, enc_hook=_as_text)
        except UnicodeEncodeError:
            # Half of a surrogate pair, which a caller sent and is told of; JSON can say it escaped, UTF-8 cannot.
            return json.dumps(data, default=_as_text).encode()


def _as_text(value: Any) -> Any:
    """What is no JSON by itself: a sentence that is translated when it is told. Raises TypeError for anything else."""
    if isinstance(value, Promise):
        return force_str(value)
    raise TypeError(f"{type(value).__name__} is no JSON")
