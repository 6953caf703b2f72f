"""The tables of metering: what was measured and sealed, and the sums of it."""

from metering.models.events import EventDelta, UsageBatch, UsageEvent, UsageSeries
from metering.models.health import DroppedMonth, MeteringAlarm, UsageEstimate, UsageGap
from metering.models.measured import (
    BUCKET_SECONDS,
    METER_CHOICES,
    CollectionWindow,
    Enrolment,
    MeteringScope,
    ParkedPoint,
    Seal,
    SealedBucket,
    SourceAnswer,
    UnattributedUsage,
    UsageBucket,
    UsageRevision,
)
from metering.models.rollups import (
    HourDue,
    MeterSource,
    MeterTolerance,
    MonthTokens,
    RollupZone,
    SealedDay,
    UsageDay,
    UsageHour,
)

__all__ = [
    "BUCKET_SECONDS",
    "METER_CHOICES",
    "CollectionWindow",
    "DroppedMonth",
    "Enrolment",
    "EventDelta",
    "HourDue",
    "MeterSource",
    "MeterTolerance",
    "MeteringAlarm",
    "MeteringScope",
    "MonthTokens",
    "ParkedPoint",
    "RollupZone",
    "Seal",
    "SealedBucket",
    "SealedDay",
    "SourceAnswer",
    "UnattributedUsage",
    "UsageBatch",
    "UsageBucket",
    "UsageDay",
    "UsageEstimate",
    "UsageEvent",
    "UsageGap",
    "UsageHour",
    "UsageRevision",
    "UsageSeries",
]
