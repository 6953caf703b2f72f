"""Reading adapters. A list reads no version but the two that each adapter points at."""

import re
from collections.abc import Collection, Iterable

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Q, QuerySet

from core.errors import Invalid, NotFound
from core.prepared import run
from core.reading import the_one
from models_registry.models import Adapter, AdapterVersion
from models_registry.states import VersionState

_TAG = re.compile(r"([^:=]{1,60})[:=](.{0,200})", re.DOTALL)
# What a list shows of a base model and of a version is a line; these columns can be many kilobytes each.
_NOT_IN_LISTS = (
    "foundation_model__config",
    "serving_profile__environment",
    *(
        f"{pointer}__{column}"
        for pointer in ("latest_version", "live_version")
        for column in ("findings", "facts", "parts", "metrics", "notes", "target_modules")
    ),
)

_NAMES = ("id", "public_id", "tenant_id", "name")  # in the order of the model, as from_db wants them
_NAMED = f"""
SELECT {", ".join(_NAMES)} FROM models_registry_adapter
WHERE public_id = %(ref)s AND (%(tenants)s::bigint[] IS NULL OR tenant_id = ANY(%(tenants)s))
"""
_OF_STATE: dict[str, dict[str, bool]] = {
    "live": {"live_version__isnull": False},
    "idle": {"live_version__isnull": True, "latest_version__isnull": False},
    "empty": {"live_version__isnull": True, "latest_version__isnull": True},
}
ADAPTER_STATES = tuple(_OF_STATE)


class FilterInvalid(Invalid):
    """A filter of a list cannot be understood."""

    code = "invalid_parameter"
    status = 400
    title = "Invalid filter"


def get_adapter(ref: str, *, tenant_ids: Collection[int] | None) -> Adapter:
    """By public id, with tenant, base, profile and its two pointers. Raises NotFound when absent or invisible."""
    adapter = the_one(_adapters(tenant_ids).filter(public_id=ref))
    if adapter is None:
        raise NotFound(f"There is no adapter {ref}.")
    return adapter


def find_adapter(ref: str, *, tenant_ids: Collection[int] | None) -> Adapter:
    """By public id, only who it is: for whoever goes on with its pk. Raises NotFound when absent or invisible."""
    found = run(_NAMED, {"ref": ref, "tenants": None if tenant_ids is None else list(tenant_ids)})
    if not found:
        raise NotFound(f"There is no adapter {ref}.")
    return Adapter.from_db(DEFAULT_DB_ALIAS, _NAMES, found[0])


def list_adapters(
    *,
    tenant_ids: Collection[int] | None,
    tenant_id: int | None = None,
    base_id: int | None = None,
    state: str | None = None,
    has_live: bool | None = None,
    tag: str | None = None,
    q: str | None = None,
) -> QuerySet[Adapter]:
    """Adapters, newest first. `q` searches name and id, `tag` is `key:value`, `state` is live, idle or empty.

    Raises FilterInvalid for a tag that is none.
    """
    adapters = _adapters(tenant_ids).defer(*_NOT_IN_LISTS)
    if tenant_id is not None:
        adapters = adapters.filter(tenant_id=tenant_id)
    if base_id is not None:
        adapters = adapters.filter(foundation_model_id=base_id)
    if state is not None:
        adapters = adapters.filter(**_OF_STATE[state])
    if has_live is not None:
        adapters = adapters.filter(live_version__isnull=not has_live)
    if tag:
        named = _TAG.fullmatch(tag)
        if named is None:
            raise FilterInvalid(f"{tag} is no tag.", hint="Give key:value, such as team:support.")
        adapters = adapters.filter(tags__contains={named[1]: named[2]})
    if q:
        adapters = adapters.filter(Q(name__icontains=q) | Q(public_id=q) | Q(tenant__slug=q))
    return adapters.order_by("-id")


def adapters_being_checked(adapter_ids: Iterable[int]) -> set[int]:
    """Which of these adapters have an upload that waits for the admission gate."""
    waiting = AdapterVersion.objects.filter(adapter_id__in=list(adapter_ids), state=VersionState.VALIDATING)
    return set(waiting.values_list("adapter_id", flat=True).distinct())


def _adapters(tenant_ids: Collection[int] | None) -> QuerySet[Adapter]:
    return Adapter.objects.visible_to(tenant_ids).select_related(
        "tenant", "foundation_model", "serving_profile", "latest_version", "live_version"
    )
