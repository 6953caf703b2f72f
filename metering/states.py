"""How much is known about an hour of usage.

    waiting ──► provisional ──► settled
       ▲             │
       └─────────────┘  (a tenant joined whose usage was not asked for)

`waiting`: never read completely, so nothing is known. `provisional`: read completely, but points may still arrive late.
`settled`: read completely after the last horizon for late points; a point that is missing now means zero.
"""

from collections.abc import Mapping

from django.db import models


class WindowState(models.TextChoices):
    """The state of a CollectionWindow."""

    WAITING = "waiting", "Waiting"
    PROVISIONAL = "provisional", "Provisional"
    SETTLED = "settled", "Settled"


class GapState(models.TextChoices):
    """The state of a UsageGap.

    open ──► filled      (the hours were read after all)
      └────► accepted    (somebody decided that what is known is billed)
    """

    OPEN = "open", "Open"
    FILLED = "filled", "Filled"
    ACCEPTED = "accepted", "Accepted"


GAP_MOVES: Mapping[str, frozenset[str]] = {GapState.OPEN: frozenset({GapState.FILLED, GapState.ACCEPTED})}
