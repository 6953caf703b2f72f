"""Reading the runtime configs that data planes follow."""

from django.db.models import Q, QuerySet

from provisioning.models import PublishedConfig

WITHDRAWN = "withdrawn"


def published_configs(tenant_id: int) -> QuerySet[PublishedConfig]:
    """All versions of a tenant's runtime config, newest first."""
    return PublishedConfig.objects.filter(tenant_id=tenant_id).select_related("restores").order_by("-version")


def current_config(tenant_id: int) -> PublishedConfig | None:
    """The version that data planes follow, or None before the first."""
    return PublishedConfig.objects.filter(tenant_id=tenant_id, is_current=True).first()


def routed_names() -> set[str]:
    """The endpoints and components that data planes may be using, now or once the newest version is written."""
    newest = PublishedConfig.objects.order_by("tenant_id", "-version").distinct("tenant_id").values("pk")
    relevant = PublishedConfig.objects.filter(Q(is_current=True) | Q(pk__in=newest))
    return {name for names in relevant.values_list("routed_names", flat=True) for name in names}
