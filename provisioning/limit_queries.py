"""Reading what was seen of token limits, and the lines that tenants share."""

from collections.abc import Collection

from django.db.models import QuerySet

from core import clock
from provisioning.models import LimitAlert, Scope, ServingLine
from provisioning.queries import list_lines

MOST_ALERTS = 200


def list_shared_lines(tenant_ids: Collection[int] | None) -> QuerySet[ServingLine]:
    """Lines on instances that tenants share; none for who may not see all tenants, as they tell of the others."""
    shared = list_lines().filter(kind=ServingLine.Kind.HOSTED, endpoint_scope=Scope.SHARED)
    return shared if tenant_ids is None else shared.none()


def running_limit_alerts(tenant_ids: Collection[int] | None) -> list[LimitAlert]:
    """The highest threshold that was reached of each limit in a window that still runs, the fullest first."""
    rows = LimitAlert.objects.filter(window_end__gt=clock.now()).select_related("tenant")
    if tenant_ids is not None:
        rows = rows.filter(tenant_id__in=tenant_ids)
    newest: dict[tuple[int, str, str, str], LimitAlert] = {}
    for alert in rows.order_by("-pk")[:MOST_ALERTS]:
        newest.setdefault((alert.tenant_id, alert.line, alert.meter, alert.window), alert)
    return sorted(newest.values(), key=lambda alert: (-alert.threshold_percent, -alert.pk))
