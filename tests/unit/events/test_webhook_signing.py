"""Signatures that any Standard Webhooks library accepts, and secrets that are nowhere kept."""

import base64
import hashlib
import hmac

import pytest

from events.webhooks.signing import derive_key, signature_headers, written

# The reference vector of the Standard Webhooks libraries' own tests.
REFERENCE_KEY = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
REFERENCE = {"message_id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "timestamp": 1614265330, "body": b'{"test": 2432232314}'}
REFERENCE_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def verified(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """What a receiver does, written from the specification and without our code."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
    offered = [part.partition(",") for part in headers["webhook-signature"].split(" ")]
    return any(version == "v1" and hmac.compare_digest(text, expected) for version, _, text in offered)


def test_the_reference_vector() -> None:
    headers = signature_headers([REFERENCE_KEY], **REFERENCE)
    assert headers == {
        "webhook-id": REFERENCE["message_id"],
        "webhook-timestamp": "1614265330",
        "webhook-signature": REFERENCE_SIGNATURE,
    }
    assert verified(written(REFERENCE_KEY), headers, REFERENCE["body"])


@pytest.mark.parametrize(
    ("key", "body"),
    [
        (b"k" * 24, b""),
        (b"\x00" * 64, b"{}"),
        (b"\xff" * 32, "日本語 \u2028 髙﨑".encode()),
        (b"k" * 32, b"\x00\xff" * 9000),
    ],
)
def test_keys_and_bodies_of_every_size(key: bytes, body: bytes) -> None:
    assert verified(written(key), signature_headers([key], message_id="evt_1", timestamp=1, body=body), body)


def test_every_flipped_bit_is_noticed() -> None:
    key, body = b"k" * 32, b'{"type":"invoice.finalized"}'
    headers = signature_headers([key], message_id="evt_1", timestamp=1795000000, body=body)
    for bit in range(8 * len(body)):
        forged = bytearray(body)
        forged[bit // 8] ^= 1 << bit % 8
        assert not verified(written(key), headers, bytes(forged))
    for name in ("webhook-id", "webhook-timestamp"):
        assert not verified(written(key), {**headers, name: headers[name] + "0"}, body)


def test_during_a_rotation_either_secret_verifies() -> None:
    old, new, other = (derive_key("installation", endpoint_ref="whe_1", version=n) for n in (1, 2, 3))
    headers = signature_headers([new, old], message_id="evt_1", timestamp=1, body=b"{}")
    assert len(headers["webhook-signature"].split(" ")) == 2
    assert verified(written(new), headers, b"{}")
    assert verified(written(old), headers, b"{}")
    assert not verified(written(other), headers, b"{}")


def test_a_secret_belongs_to_one_endpoint_one_number_and_one_installation() -> None:
    made = {
        written(derive_key(installation, endpoint_ref=ref, version=version))
        for installation in ("a", "b")
        for ref in ("whe_1", "whe_11", "whe_2")
        for version in (1, 2, 12)
    }
    assert len(made) == 18
    key = derive_key("installation", endpoint_ref="whe_1", version=1)
    assert key == hmac.digest(b"installation", b"webhook:whe_1:1", hashlib.sha256)  # receivers hold it: never change
    assert 24 <= len(key) <= 64
    assert written(key).startswith("whsec_")
