"""Going back to the routes of an earlier runtime config: a new version with the older content, if it may be so."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from core.actors import Actor
from core.errors import Conflict, Invalid
from core.locks import advisory_lock
from events.record import record_event
from provisioning import runtime_config
from provisioning.models import PublishedConfig
from provisioning.reconciler.loop import WISHES_LOCK
from provisioning.runtime_config import Route
from provisioning.services import publishing
from provisioning.services.publishing import ACTIVE, ConfigDraft
from tenants.models import Tenant


class CannotRestore(Conflict):
    """The older routes cannot be published any more; what is published stays."""

    code = "config_not_restorable"
    title = "That config cannot be restored"


class UnknownConfig(Invalid):
    """The tenant has no such version of a runtime config."""

    code = "unknown_config_version"


def roll_back_config(*, tenant_id: int, to_version: int, reason: str, actor: Actor) -> PublishedConfig:
    """Publish the routes of an earlier version again, as a new version; data planes follow within a sweep.

    They stay until something else is wished for: a release, another choice of lines, another tier. Breakers and token
    limits are those of now. Raises UnknownConfig, ConfigRefused when the rules forbid the routes today, and
    CannotRestore when they lead to something that is gone, or to other adapter versions: those go back by the
    adapter's roll back.
    """
    with transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        advisory_lock(WISHES_LOCK)
        versions = PublishedConfig.objects.filter(tenant=tenant)
        newest, older = versions.order_by("-version").first(), versions.filter(version=to_version).first()
        if newest is None or older is None:
            raise UnknownConfig(f"{tenant.name} has no runtime config {to_version}.")
        routes, now_routed = runtime_config.routes_of(older.document), runtime_config.routes_of(newest.document)
        if older.document["status"] != ACTIVE or newest.document["status"] != ACTIVE:
            raise CannotRestore("Only an active config can take the place of an active one.", hint="Resume the tenant.")
        if _releases(routes) != _releases(now_routed):
            raise CannotRestore(
                f"Version {to_version} serves other adapter versions.", hint="Roll back the adapter's release instead."
            )
        if refused := publishing.refusal_of(tenant, routes):
            raise refused
        said = publishing.content_for(tenant, status=ACTIVE, region=newest.document["region"], routes=routes)
        if publishing.is_doomed(said):
            raise CannotRestore(f"Something that version {to_version} leads to does not exist any more.")
        instead_of = newest.instead_of or runtime_config.routes_digest(now_routed)
        config = publishing.create_row(tenant, newest, ConfigDraft(said, older.pk, instead_of, reason))
        record_event(
            "runtime_config.rolled_back",
            tenant=tenant,
            subject=config,
            actor=actor,
            reason=reason,
            before={"version": newest.version},
            after={"version": config.version, "restores": to_version},
        )
    return config


def _releases(routes: Mapping[str, Route]) -> dict[str, set[Any]]:
    """Which adapter versions serve, by route; models without adapters may differ."""
    return {
        name: {target.adapter_version for target in route.targets}
        for name, route in routes.items()
        if route.adapter is not None
    }
