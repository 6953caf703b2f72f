"""Reading serving lines and what was decided about them. `tenant_ids` None means that the caller may see all."""

from collections import defaultdict
from collections.abc import Collection, Mapping

from django.db.models import QuerySet

from provisioning.models import ConfigRefusal, EulaAcceptance, ManagedResource, ServingLine
from provisioning.specs import ENDPOINT


def serving_lines(tenant_ids: Collection[int] | None) -> QuerySet[ServingLine]:
    """Serving lines with their models and the tiers that route to them, oldest first; of tenants those of their tiers,
    past and present."""
    lines = ServingLine.objects.select_related("profile__foundation_model")
    if tenant_ids is not None:
        lines = lines.filter(routes__tier_version__assignments__tenant_id__in=tenant_ids).distinct()
    return lines.prefetch_related("routes__tier_version__tier").order_by("pk")


def accounts_of_lines(lines: Collection[ServingLine]) -> Mapping[int, list[str]]:
    """The AWS accounts in which each line has something now, by the line's pk."""
    found: dict[int, list[str]] = defaultdict(list)
    rows = ManagedResource.objects.living().filter(line__in=lines).order_by("account")
    for line_id, account in rows.values_list("line_id", "account").distinct():
        if line_id is not None:
            found[line_id].append(account)
    return found


def endpoints(tenant_ids: Collection[int] | None) -> QuerySet[ManagedResource]:
    """Living endpoints, newest first; None means all, shared ones included."""
    rows = ManagedResource.objects.visible_to(tenant_ids).living().filter(kind=ENDPOINT)
    return rows.select_related("tenant").order_by("-pk")


def eula_acceptances(tenant_id: int) -> QuerySet[EulaAcceptance]:
    """The licences that a tenant accepted, newest first."""
    return EulaAcceptance.objects.filter(tenant_id=tenant_id).order_by("-pk")


def config_refusals(tenant_ids: Collection[int] | None) -> QuerySet[ConfigRefusal]:
    """Tenants whose newest routes were not published, the latest first."""
    rows = ConfigRefusal.objects.select_related("tenant").order_by("-refused_at")
    return rows if tenant_ids is None else rows.filter(tenant_id__in=tenant_ids)


def config_refusal(tenant_id: int) -> ConfigRefusal | None:
    """Why a tenant's newest routes were not published; None when they were."""
    return ConfigRefusal.objects.filter(tenant_id=tenant_id).first()
