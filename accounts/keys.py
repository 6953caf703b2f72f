"""The form of an API key, and the arithmetic on it; no table is touched here.

    cpk_test_k7w2m4q6z3xa_<43 letters>_<6 letters>
    |        |            |            checksum: a typing error is refused without asking the database
    |        |            the secret, 256 bits
    |        which key, to find its row by index
    a fixed beginning for secret scanners; `cpk_live` in production

The secret is drawn at random and as long as a hash, so one HMAC-SHA256 under a server-side pepper protects it as well
as a slow password hash would, and costs microseconds per request.
"""

import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass

BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LOOKUP_LETTERS = 12
SECRET_LETTERS = 43  # 62**43 > 2**256
CHECKSUM_LETTERS = 6  # 62**6 > 2**32

_FORM = re.compile(r"cpk_(live|test)_([a-z2-7]{12})_([0-9A-Za-z]{43})_([0-9A-Za-z]{6})")


@dataclass(frozen=True, slots=True)
class KeyParts:
    """A well-formed key, taken apart. `repr` keeps the secret to itself."""

    environment: str
    lookup: str
    secret: str

    def __repr__(self) -> str:
        return f"KeyParts({self.environment}, {self.lookup}, secret hidden)"


def generate(*, live: bool) -> tuple[str, KeyParts]:
    """A new random key as text, and its parts."""
    parts = KeyParts(
        environment="live" if live else "test",
        lookup="".join(secrets.choice(BASE32) for _ in range(LOOKUP_LETTERS)),
        secret="".join(secrets.choice(BASE62) for _ in range(SECRET_LETTERS)),
    )
    body = f"cpk_{parts.environment}_{parts.lookup}_{parts.secret}"
    return f"{body}_{checksum(body)}", parts


def parse(text: str) -> KeyParts | None:
    """The parts of a key whose form and checksum are right; None for anything else."""
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    environment, lookup, secret, written = match.groups()
    if not hmac.compare_digest(checksum(text[: -CHECKSUM_LETTERS - 1]), written):
        return None
    return KeyParts(environment, lookup, secret)


def checksum(body: str) -> str:
    """CRC-32 of the key's body in six base-62 letters."""
    value = zlib.crc32(body.encode())
    letters = []
    for _ in range(CHECKSUM_LETTERS):
        value, digit = divmod(value, 62)
        letters.append(BASE62[digit])
    return "".join(reversed(letters))


def hash_secret(secret: str, *, pepper: str) -> str:
    """What is stored in place of the secret: HMAC-SHA256 in hex."""
    return hmac.new(pepper.encode(), secret.encode(), hashlib.sha256).hexdigest()


def visible_hint(plaintext: str) -> str:
    """What a list may show so that people recognize their key: its beginning and the checksum's last two letters."""
    return f"{plaintext[: 9 + LOOKUP_LETTERS]}_…{plaintext[-2:]}"
