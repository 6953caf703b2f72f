"""Public ids: a prefix that says what it is, and a ULID that sorts by time (`ten_01jd…`).

Inside the database rows are linked by bigint keys; a public id is what a URL, an API answer, an AWS tag or a log
line shows.
"""

import re
import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u to misread
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_PATTERN = re.compile(r"[a-z]{2,5}_[0-9a-hjkmnp-tv-z]{26}")


def new_id(prefix: str) -> str:
    """A new id of 48 bits of milliseconds and 80 random bits (https://github.com/ulid/spec), in lower case."""
    value = (int(time.time() * 1000) << 80) | secrets.randbits(80)
    # Two letters at a time: an invoice run makes hundreds of thousands of ids.
    return f"{prefix}_{''.join([_PAIRS[value >> shift & 1023] for shift in range(120, -1, -10)])}"


def is_public_id(text: str, prefix: str | None = None) -> bool:
    """Whether `text` has the form of a public id, of the given prefix if one is named."""
    return _PATTERN.fullmatch(text) is not None and (prefix is None or text.startswith(f"{prefix}_"))
