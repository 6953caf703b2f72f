"""What is counted: every meter with its unit and its declared source; pure.

CloudWatch does not add up over dimensions, so the same tokens put under two dimension sets would be counted twice. A
meter therefore has exactly one metric under exactly one dimension set, or is derived from our own books. What the data
plane counts may also come as usage events; which of the two is billed is a setting (`metering.services.sources`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

DIMENSIONS = ("TenantId", "AdapterVersion", "Line")
STATISTIC = "Sum"
BASE_VERSION = "base"
# From here on a double cannot tell a whole number from its neighbour.
FIRST_INEXACT = 2**53


@dataclass(frozen=True, slots=True)
class Meter:
    """`metric` is the data plane's CloudWatch metric, empty when our own books or Bedrock alone know the meter.

    `means` says what is in it and what is not, where a title leaves that open.
    """

    key: str
    title: str
    unit: str
    metric: str = ""
    means: str = ""

    @property
    def takes_events(self) -> bool:
        """Whether usage events may report it: what the data plane counts, and not what our books know better."""
        return bool(self.metric)


METERS = {
    meter.key: meter
    for meter in (
        Meter(
            "input_tokens",
            "Input tokens",
            "token",
            "InputTokens",
            "Tokens of prompts that models worked through, without those read from a cache or written to one.",
        ),
        Meter("output_tokens", "Output tokens", "token", "OutputTokens"),
        Meter(
            "cached_input_tokens",
            "Cached input tokens",
            "token",
            "CachedInputTokens",
            "Tokens of prompts that were read from a cache; they are not among the input tokens.",
        ),
        Meter(
            "cache_write_input_tokens",
            "Cache write input tokens",
            "token",
            means="Tokens of prompts that Bedrock wrote to a cache; they are not among the input tokens.",
        ),
        Meter("requests", "Requests", "request", "Requests"),
        Meter("busy_milliseconds", "Busy time", "millisecond", "BusyMilliseconds"),
        Meter("endpoint_seconds", "Endpoint time", "second"),
        Meter("copy_seconds", "Model copy time", "second"),
        Meter("adapter_seconds", "Adapter time", "second"),
        Meter("stored_byte_hours", "Stored adapters", "byte-hour"),
    )
}
CLOUDWATCH_METERS = tuple(meter for meter in METERS.values() if meter.metric)
EVENT_METERS = frozenset(meter.key for meter in METERS.values() if meter.takes_events)
# What becomes of a resource's time in service: its kind in the ledger, and the meter.
LEDGER_METERS = {
    "endpoint": "endpoint_seconds",
    "base_component": "copy_seconds",
    "adapter_component": "adapter_seconds",
}
STORAGE_METER = "stored_byte_hours"
# What Bedrock counts by itself, under the id of an application inference profile.
BEDROCK_NAMESPACE = "AWS/Bedrock"
BEDROCK_DIMENSION = "ModelId"
BEDROCK_METRICS = {
    "input_tokens": "InputTokenCount",
    "output_tokens": "OutputTokenCount",
    "cached_input_tokens": "CacheReadInputTokens",
    "cache_write_input_tokens": "CacheWriteInputTokens",
    "requests": "Invocations",
    "busy_milliseconds": "InvocationLatency",
}
METRICS = {meter.metric: meter for meter in CLOUDWATCH_METERS}


class Unusable(ValueError):
    """A value that cannot be a count; the text says why."""


def quantity(value: float) -> int:
    """The whole number that a CloudWatch Sum stands for.

    Raises Unusable for what cannot be an exact count: negative, fractional, infinite, not a number, or 2^53 and more.
    """
    if not math.isfinite(value):
        raise Unusable("not a finite number")
    if value < 0:
        raise Unusable("negative")
    if value >= FIRST_INEXACT:
        raise Unusable("2^53 or more: a double no longer counts exactly there")
    if value != int(value):
        raise Unusable("not a whole number")
    return int(value)


def describe_query(source: str, meter: str, tenant: str, adapter_version: str, line: str, bucket_seconds: int) -> str:
    """Say in one line where a bucket's value came from, so that anyone can ask again.

    `source` is `cloudwatch:[ACCOUNT/]REGION:NAMESPACE[:PROFILE]`, `ledger`, `registry`, `events` or
    `estimate:[ACCOUNT/]REGION:GAP`.
    """
    if source.startswith("estimate:"):
        what = f"{meter} of {adapter_version} on line {line}"
        return f"estimate for {source.rpartition(':')[2]}: {what}, the same hour of the last known week before"
    if source == "events":
        return f"usage events of {tenant}: {meter} of {adapter_version} on line {line}"
    if source == "registry":
        return f"adapter registry: bytes that {tenant} had stored, times hours"
    if source == "ledger":
        what = {meter: kind.replace("_", " ") for kind, meter in LEDGER_METERS.items()}[meter]
        return f"resource ledger: seconds in service of {tenant}'s own {what}s on line {line}"
    _, place, namespace, *profile = source.split(":", 3)
    dimensions: Mapping[str, str] = dict(zip(DIMENSIONS, (tenant, adapter_version, line), strict=True))
    metric = METERS[meter].metric
    if profile:
        dimensions, metric = {BEDROCK_DIMENSION: profile[0]}, BEDROCK_METRICS[meter]
    said = ",".join(f"{name}={value}" for name, value in dimensions.items())
    return f"{place} {namespace} {metric}{{{said}}} {STATISTIC}/{bucket_seconds}s"
