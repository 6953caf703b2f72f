"""Signatures after Standard Webhooks 1.0.0, symmetric scheme `v1`, and where the secrets come from.

    webhook-id: evt_…                 the same on every try and replay: receivers recognize what they had
    webhook-timestamp: 1795000000     of this try, so that an old message cannot be sent again by somebody else
    webhook-signature: v1,<base64> v1,<base64>      HMAC-SHA256 of `id.timestamp.body`; two while a secret is replaced

A secret is derived from the installation's key with the endpoint's id and the secret's number, so that none lies in the
database (ADR 13). https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence

SECRET_PREFIX = "whsec_"


def derive_key(installation_key: str, *, endpoint_ref: str, version: int) -> bytes:
    """The 32 bytes that sign for this endpoint under this number of its secret."""
    return hmac.new(installation_key.encode(), f"webhook:{endpoint_ref}:{version}".encode(), hashlib.sha256).digest()


def written(key: bytes) -> str:
    """A key as receivers enter it into their library: `whsec_` and base64."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def signature_headers(keys: Sequence[bytes], *, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of one try; one signature per key, in the order given."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = [b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()) for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": b" ".join(signatures).decode(),
    }
