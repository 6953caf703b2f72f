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


class EstimateState(models.TextChoices):
    """The state of a UsageEstimate.

    proposed ──► billed ──► replaced    (the hours were read after all)
        └──────► withdrawn              (they were read, or accepted as known, before anything was billed)
    """

    PROPOSED = "proposed", "Not billed"
    BILLED = "billed", "Billed"
    REPLACED = "replaced", "Replaced by what was read"
    WITHDRAWN = "withdrawn", "Withdrawn"


GAP_MOVES: Mapping[str, frozenset[str]] = {GapState.OPEN: frozenset({GapState.FILLED, GapState.ACCEPTED})}
