"""Would a tenant's resources fit, before any of them is made? Every reason against it at once, each with the shortfall.

What can be known without AWS is checked first; AWS is asked only when nothing of that is wrong. Nothing is changed.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings

from aws.errors import AwsError
from core.errors import Conflict, FieldError
from models_registry.queries import wanted_releases
from provisioning import queries
from provisioning.models import ManagedResource, Scope, ServingLine, TierRoute
from provisioning.services import preflight_fit as fit
from provisioning.services.line_rules import line_rules
from provisioning.services.preflight_place import Place, check_place, check_quotas, check_role
from provisioning.services.preflight_report import PreflightCheck
from provisioning.specs import BASE_COMPONENT
from tenants.models import Tenant, TierVersion
from tenants.queries import current_tier_version


class PreflightFailed(Conflict):
    """What is asked for cannot run; `errors` has each reason with its own code."""

    code = "preflight_failed"
    title = "It would not run"


@dataclass(frozen=True, slots=True)
class PreflightReport:
    """Every check that was made, in the order in which it was made. `tenant_id` is None before the sign-up."""

    tenant_id: int | None
    tier_version_id: int
    checks: tuple[PreflightCheck, ...]

    @property
    def ok(self) -> bool:
        """Whether everything would run."""
        return not self.failed

    @property
    def failed(self) -> list[PreflightCheck]:
        """The checks that speak against it."""
        return [check for check in self.checks if not check.ok]

    @property
    def summary(self) -> str:
        """What is in the way, in one text; empty when nothing is."""
        return " ".join(f"{check.detail} {check.shortfall}".strip() for check in self.failed)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"ok": self.ok, "checks": [asdict(check) for check in self.checks]}


def preflight(
    *, tenant_id: int | None, tier_version_id: int, allowed_regions: Sequence[str] | None = None
) -> PreflightReport:
    """Whether a tenant could be served on a tier version. Before the sign-up `tenant_id` is None and
    `allowed_regions` says where its models may run; otherwise the tenant's own are taken.

    Quotas are those of the account and region of each line, together with what is in use there now. Raises AwsError
    when AWS has to be asked and does not answer.
    """
    version = TierVersion.objects.select_related("tier").get(pk=tier_version_id)
    tenant = Tenant.objects.get(pk=tenant_id) if tenant_id is not None else None
    regions = tenant.allowed_regions if tenant is not None else list(allowed_regions or ())
    lines = _hosted_lines(tier_version_id)
    checks = _without_aws(version, tenant, lines, regions)
    place = Place.of(tenant, version)
    checks += check_place(place, lines)
    if all(check.ok for check in checks) and not place.is_awaited:
        checks.append(check_role(place))
        if checks[-1].ok:
            checks += check_quotas(place, tenant, lines)
    return PreflightReport(tenant_id=tenant_id, tier_version_id=tier_version_id, checks=tuple(checks))


def fits_on_paper(tenant: Tenant, version: TierVersion) -> bool:
    """Whether nothing that can be known without AWS speaks against a tier version for a tenant."""
    lines = _hosted_lines(version.pk)
    checks = _without_aws(version, tenant, lines, tenant.allowed_regions)
    return all(check.ok for check in [*checks, *check_place(Place.of(tenant, version), lines)])


def refuse_unfit(*, tier_key: str, allowed_regions: Sequence[str]) -> None:
    """Raise PreflightFailed when nobody could be served on a tier, or nobody with these regions; before a sign-up.

    A tier without lines passes: whoever signs up waits for its operator. An AWS that does not answer is asked again
    before anything is made.
    """
    version = current_tier_version(tier_key)
    if not TierRoute.objects.filter(tier_version=version).exists():
        return
    with suppress(AwsError):
        refuse_unready(preflight(tenant_id=None, tier_version_id=version.pk, allowed_regions=allowed_regions))


def refuse_unready(report: PreflightReport) -> None:
    """Raise PreflightFailed when a check speaks against it; the error names each with what to change."""
    if report.ok:
        return
    errors = [FieldError(f"/{check.key}", check.code, f"{check.detail} {check.shortfall}") for check in report.failed]
    raise PreflightFailed(report.summary, hint=" ".join(check.what_to_do for check in report.failed), errors=errors)


def _hosted_lines(tier_version_id: int) -> list[ServingLine]:
    routes = TierRoute.objects.filter(tier_version_id=tier_version_id, line__kind=ServingLine.Kind.HOSTED)
    return [route.line for route in routes.select_related("line__profile__foundation_model").order_by("position")]


def _without_aws(
    version: TierVersion, tenant: Tenant | None, lines: Sequence[ServingLine], regions: Sequence[str]
) -> list[PreflightCheck]:
    routes = TierRoute.objects.filter(tier_version=version).select_related("line__profile__foundation_model")
    every = [route.line for route in routes.order_by("position")]
    checks = [fit.check_lines(version, [line.name for line in every])]
    checks += [fit.check_residency(line_rules(line), regions) for line in every]
    catalogue = queries.planner_catalogue()
    is_pooled = version.isolation == TierVersion.Isolation.POOL
    for position, line in enumerate(lines):
        found = fit.check_instance(catalogue, line)
        checks.append(found.check)
        if found.instance is not None:
            others = lines[:position]
            beside, most = _on_endpoint(line, tenant, others) if is_pooled else ([], line.max_instance_count)
            accelerators, mebibytes = [each for each, _ in beside], [each for _, each in beside]
            checks.append(fit.check_copies(line, found.instance, beside=accelerators, most=most))
            checks.append(fit.check_host_memory(catalogue, line, beside=mebibytes, most=most))
            checks.append(fit.check_memory(catalogue, line, found.instance))
        checks.append(fit.check_weights(line, settings.ENV.artifact_bucket, settings.ENV.aws_region))
        checks.append(fit.check_rank(version, line))
    if tenant is not None:
        checks += fit.check_adapters(version, lines, wanted_releases(tenant.pk))
    return checks


def _on_endpoint(
    line: ServingLine, tenant: Tenant | None, others: Sequence[ServingLine]
) -> tuple[list[tuple[int, int]], int]:
    """What is on the line's endpoint besides what is asked for, as accelerators and MiB of each copy; and how far it
    grows.

    `others` are the lines that the same tier brings along: what they need there counts, whether it is there or not.
    """
    if line.endpoint_scope != Scope.SHARED:
        return [], line.max_instance_count
    place = {"region": line.region, "instance_type": line.instance_type, "endpoint_scope": Scope.SHARED}
    sharing = ServingLine.objects.filter(**place, pk__in=[each.pk for each in queries.lines_in_use()])
    brought = [each for each in others if all(getattr(each, name) == value for name, value in place.items())]
    rows = ManagedResource.objects.living().filter(kind=BASE_COMPONENT, is_wanted=True, line__in=sharing)
    rows = rows.exclude(line__in=[line, *brought], tenant=None)
    rows = rows.exclude(line__in=[line, *brought], tenant=tenant) if tenant is not None else rows
    sizes = [(row.identity, row.settings["copies"]) for row in rows]
    copies = [(each["accelerators"], each["min_memory_mb"]) for each, count in sizes for _ in range(count)]
    profiles = [(each.hosting_profile, each.copies) for each in brought]
    copies += [(each.accelerators, each.min_memory_mb) for each, count in profiles for _ in range(count)]
    ends = [line, *brought, *sharing]
    return copies, max(each.max_instance_count for each in ends)
