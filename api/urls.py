"""Every address under /api/v1. `tests/architecture/test_routes.py` walks this list; each must refuse strangers."""

from django.urls import path, register_converter

from api import api_keys, events, schema, tenants
from api.unknown import UnknownAddress


class RefConverter:
    """An id in a path: anything without a slash that PostgreSQL can compare with a text."""

    regex = r"[^/\x00]{1,200}"

    def to_python(self, value: str) -> str:
        """As it came."""
        return value

    def to_url(self, value: str) -> str:
        """As it is."""
        return value


register_converter(RefConverter, "ref")

urlpatterns = [
    path("openapi.json", schema.openapi, name="api-openapi"),
    path("tiers", tenants.TierList.as_view()),
    path("tenants", tenants.TenantList.as_view()),
    path("tenants/<ref:tenant>", tenants.TenantDetail.as_view()),
    path("tenants/<ref:tenant>/suspend", tenants.TenantSuspension.as_view()),
    path("tenants/<ref:tenant>/resume", tenants.TenantResumption.as_view()),
    path("tenants/<ref:tenant>/offboard", tenants.TenantDeparture.as_view()),
    path("tenants/<ref:tenant>/offboarding", tenants.TenantOffboarding.as_view()),
    path("events", events.EventList.as_view()),
    path("api-keys", api_keys.ApiKeyList.as_view()),
    path("api-keys/<ref:api_key>", api_keys.ApiKeyDetail.as_view()),
    path("api-keys/<ref:api_key>/revoke", api_keys.ApiKeyRevocation.as_view()),
    # Last: an address that is none of ours is a problem document too, and only for those who have a key.
    path("<path:rest>", UnknownAddress.as_view()),
]
