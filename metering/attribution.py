"""Whose usage a metric is: dimensions to tenant, adapter version and line; pure.

Attribution believes what was published, not what a data plane says: a series counts for a tenant only when a config of
that tenant routed that version on that line. Everything else is kept apart with the reason, and shown.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from metering.meters import DIMENSIONS, METRICS


@dataclass(frozen=True, slots=True, order=True)
class Emitter:
    """Something that may put usage: a tenant's adapter version on a line, in a region and a namespace.

    `account` is empty for the installation's own. `profile` is the inference profile under which Bedrock counts, empty
    for what a data plane counts.
    """

    tenant: str
    adapter_version: str
    line: str
    region: str
    namespace: str
    account: str = ""
    profile: str = ""

    @property
    def source(self) -> str:
        """Where a value of it comes from: `cloudwatch:[ACCOUNT/]REGION:NAMESPACE[:PROFILE]`."""
        place = f"{self.account}/{self.region}" if self.account else self.region
        return ":".join(filter(None, ("cloudwatch", place, self.namespace, self.profile)))


@dataclass(frozen=True, slots=True)
class Unknown:
    """Why a series is nobody's."""

    reason: str


def attribute(
    metric: str,
    dimensions: Mapping[str, str],
    *,
    region: str,
    namespace: str,
    emitters: Collection[Emitter],
    tenants: Collection[str],
) -> Emitter | Unknown | None:
    """Who emitted a series. None for a metric that no meter reads.

    `emitters` is everything that was ever published, `tenants` every public id there is.
    """
    if metric not in METRICS:
        return None
    if set(dimensions) != set(DIMENSIONS):
        named = ", ".join(sorted(dimensions)) or "none"
        return Unknown(f"its dimensions are {named}; usage has exactly {', '.join(DIMENSIONS)}")
    emitter = Emitter(dimensions["TenantId"], dimensions["AdapterVersion"], dimensions["Line"], region, namespace)
    if emitter in emitters:
        return emitter
    if emitter.tenant not in tenants:
        return Unknown(f"there is no tenant {emitter.tenant}")
    return Unknown(f"no config of {emitter.tenant} routed {emitter.adapter_version} on line {emitter.line}")
