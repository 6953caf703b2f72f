"""How soon a page should ask again: often while it is young, seldom later, and never once it is settled."""

from datetime import datetime, timedelta

from core import clock

_PATIENCE = ((timedelta(seconds=30), 1000), (timedelta(minutes=5), 3000))
SLOWEST_MS = 10_000


def poll_ms(*, since: datetime, is_settled: bool) -> int | None:
    """Milliseconds until the next look: 1 s for the first half minute, then 3 s, then 10 s; None when settled."""
    if is_settled:
        return None
    age = clock.now() - since
    return next((delay for limit, delay in _PATIENCE if age < limit), SLOWEST_MS)
