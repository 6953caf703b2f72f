"""Public ids: a prefix that says what it is, and a ULID that sorts by time (`ten_01jd…`).

Inside the database rows are linked by bigint keys; a public id is what a URL, an API answer, an AWS tag or a log
line shows.
"""

import re
import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u to misread
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
# Ten bits are two letters: 48 bits of time under two of zero, then 80 random ones.
_TIME_SHIFTS, _RANDOM_SHIFTS = range(40, -1, -10), range(70, -1, -10)
_RANDOM_BYTES = 10
_PATTERN = re.compile(r"[a-z]{2,5}_[0-9a-hjkmnp-tv-z]{26}")


def new_id(prefix: str) -> str:
    """A new id of 48 bits of milliseconds and 80 random bits (https://github.com/ulid/spec), in lower case."""
    return new_ids(prefix, 1)[0]


def new_ids(prefix: str, count: int) -> list[str]:
    """Many ids of one instant; the randomness for all of them is asked of the system once, which is most of their cost.

    An invoice run makes hundreds of thousands. Those of one call differ by their random part and are in no order.
    """
    drawn = secrets.token_bytes(count * _RANDOM_BYTES)
    began = f"{prefix}_{_letters(int(time.time() * 1000), _TIME_SHIFTS)}"
    return [
        began + _letters(int.from_bytes(drawn[at : at + _RANDOM_BYTES]), _RANDOM_SHIFTS)
        for at in range(0, len(drawn), _RANDOM_BYTES)
    ]


def _letters(value: int, shifts: range) -> str:
    return "".join([_PAIRS[value >> shift & 1023] for shift in shifts])


def is_public_id(text: str, prefix: str | None = None) -> bool:
    """Whether `text` has the form of a public id, of the given prefix if one is named."""
    return _PATTERN.fullmatch(text) is not None and (prefix is None or text.startswith(f"{prefix}_"))
