"""May these routes be published for this tenant? Decided before data planes can see them; pure.

A route that breaks a rule is never published: the tenant's last config stays in force, and the reasons are shown with
what to do about each.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from provisioning.runtime_config import API, BASE_VERSION, Route, Target

# The regions to which the system-defined profiles of a geography may send a request: AWS picks one per request, so all
# of them must be allowed. Every commercial region of the geography counts, also those that few models use (aws-facts 6
# and AWS's list of regions, read 2026-11-20). `global.` leads anywhere.
GEOGRAPHIES: Mapping[str, tuple[str, ...]] = {
    "us": ("us-east-1", "us-east-2", "us-west-1", "us-west-2"),
    "us-gov": ("us-gov-east-1", "us-gov-west-1"),
    "ca": ("ca-central-1", "ca-west-1"),
    "eu": (
        "eu-central-1",
        "eu-central-2",
        "eu-north-1",
        "eu-south-1",
        "eu-south-2",
        "eu-west-1",
        "eu-west-2",
        "eu-west-3",
    ),
    "apac": (
        "ap-northeast-1",
        "ap-northeast-2",
        "ap-northeast-3",
        "ap-south-1",
        "ap-south-2",
        "ap-southeast-1",
        "ap-southeast-2",
        "ap-southeast-3",
        "ap-southeast-4",
        "ap-southeast-5",
        "ap-southeast-7",
    ),
    "jp": ("ap-northeast-1", "ap-northeast-3"),
    "au": ("ap-southeast-2", "ap-southeast-4"),
    "global": (),
}


@dataclass(frozen=True, slots=True)
class LineRules:
    """What decides about a line: for an api line `model_id`; `eula_url` when its model is gated."""

    name: str
    kind: str
    region: str
    model_name: str
    model_id: str = ""
    eula_url: str = ""


@dataclass(frozen=True, slots=True)
class TenantRules:
    """What decides about a tenant. No `allowed_regions` means that all are allowed.

    `lines` are those of its tier, by name; `servable` the public ids of its adapter versions that passed the gate and
    their tier's approval; `accepted` the (model name, licence) pairs on record.
    """

    allowed_regions: Collection[str] = ()
    lines: Mapping[str, LineRules] = field(default_factory=dict)
    servable: Collection[str] = ()
    accepted: Collection[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that the routes break. `subject` is the route and line that does."""

    code: str
    subject: str
    detail: str
    hint: str

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return {"code": self.code, "subject": self.subject, "detail": self.detail, "hint": self.hint}


def violations(routes: Mapping[str, Route], tenant: TenantRules) -> list[Violation]:
    """Every rule that the routes break, one entry per route and line and rule; empty when they may be published."""
    found: list[Violation] = []
    for name, route in sorted(routes.items()):
        for target in route.targets:
            found += _of_target(f"{name} on {target.line}", target, tenant)
    return found


def _of_target(subject: str, target: Target, tenant: TenantRules) -> Iterable[Violation]:
    line = tenant.lines.get(target.line)
    if line is None:
        yield Violation(
            "line_not_in_tier",
            subject,
            f"The line {target.line} is not one of the tenant's tier.",
            "Move the tenant to a tier that has the line, or route the tier's next version to it.",
        )
        return
    outside = outside_of(line, tenant.allowed_regions)
    if outside:
        yield Violation(
            "outside_residency",
            subject,
            f"{line.model_name} on line {line.name} may answer in {outside}, and the tenant's data may only be in "
            f"{', '.join(sorted(tenant.allowed_regions))}.",
            "Use a line whose model stays in an allowed region, or allow the region at the tenant.",
        )
    if target.adapter_version not in (BASE_VERSION, *tenant.servable):
        yield Violation(
            "version_not_approved",
            subject,
            f"Version {target.adapter_version} is not approved, or is out of use.",
            "Have the version approved, or release another one.",
        )
    if line.eula_url and (line.model_name, line.eula_url) not in tenant.accepted:
        yield Violation(
            "eula_not_accepted",
            subject,
            f"{line.model_name} is gated, and the tenant has not accepted its licence ({line.eula_url}).",
            "Record the tenant's acceptance on its Routes page or over REST.",
        )


def outside_of(line: LineRules, allowed: Collection[str]) -> str:
    """Where the line may answer although it is not allowed, in words; empty when all is, or when there is no rule."""
    if not allowed:
        return ""
    geography = line.model_id.partition(".")[0]
    if line.kind == API and geography in GEOGRAPHIES:
        regions = GEOGRAPHIES[geography]
        if not regions:
            return "any region of the world"
    else:
        regions = (line.region,)
    return ", ".join(region for region in regions if region not in allowed)
