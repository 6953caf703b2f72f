"""Keys and people, as the doors show them."""

from collections.abc import Collection

from django.db.models import QuerySet

from accounts.models import ApiKey, User
from accounts.roles import Role
from core.errors import NotFound


class ApiKeyNotFound(NotFound):
    """No such key, or not one that the caller may see."""

    code = "api_key_not_found"


def list_api_keys(*, tenant_ids: Collection[int] | None) -> QuerySet[ApiKey]:
    """Keys the caller may see, newest first; None means all, with those of the operating team."""
    found = ApiKey.objects.select_related("tenant").order_by("-pk")
    return found if tenant_ids is None else found.filter(tenant_id__in=tenant_ids)


def get_api_key(ref: str, *, tenant_ids: Collection[int] | None) -> ApiKey:
    """The key with this public id. Raises ApiKeyNotFound."""
    key = list_api_keys(tenant_ids=tenant_ids).filter(public_id=ref).first()
    if key is None:
        raise ApiKeyNotFound(f"There is no API key {ref}.")
    return key


def find_operator(name: str | None) -> User | None:
    """The active person of this name; without a name the first administrator."""
    active = User.objects.filter(is_active=True).order_by("pk")
    return active.filter(username=name).first() if name else active.filter(role=Role.ADMIN).first()
