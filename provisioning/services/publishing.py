"""Publishes runtime configs: row first, then DynamoDB, then the record. Dying anywhere is repaired by the next call.

Versions only go up, in the row, in the immutable item and in `current`; whoever comes late with an older version
finds a newer one current and writes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.db import transaction

from aws import connect
from core.actors import SYSTEM
from core.clock import now
from core.crashpoints import boundary
from core.errors import Conflict, FieldError
from core.locks import advisory_lock
from events.record import record_event
from provisioning import runtime_config
from provisioning.config_policy import violations
from provisioning.models import BreakerOrder, ConfigRefusal, ManagedResource, PublishedConfig
from provisioning.queries import WITHDRAWN
from provisioning.reconciler.loop import WISHES_LOCK
from provisioning.runtime_config import Ladder, Route, Target, Windows
from provisioning.services import line_rules
from provisioning.states import Phase
from tenants.models import Tenant
from tenants.queries import token_limits_of
from tenants.states import TenantState

ACTIVE = "active"


class ConfigRefused(Conflict):
    """The routes break a rule, so they were not published; what was published before stays. `errors` has each rule."""

    code = "config_refused"
    title = "The routes may not be published"


@dataclass(frozen=True, slots=True)
class Publication:
    """The version that data planes follow after the call, and whether this call changed it."""

    config: PublishedConfig | None
    is_new: bool


def publish(*, tenant_id: int, status: str, region: str, routes: Mapping[str, Route]) -> Publication:
    """Make the data planes of a tenant follow this; quiet when they do already.

    A route to something that is not wished any more is refused by publishing nothing: the caller's picture is old,
    and its next look will be better. Raises ConfigRefused, with the reasons kept at the tenant, when the routes break
    a rule, and AwsError when DynamoDB cannot be written; the row then waits, and the next call carries on with it.
    """
    row = _row(tenant_id, status, region, routes)
    if isinstance(row, ConfigRefused):
        raise row
    if row is None or row.is_current:
        return Publication(config=row, is_new=False)
    return Publication(config=row, is_new=_write(row))


def _row(
    tenant_id: int, status: str, region: str, routes: Mapping[str, Route]
) -> PublishedConfig | ConfigRefused | None:
    """The newest version's row if it says this, otherwise a new one; a refusal when the rules forbid it. None when the
    caller's picture is old: a route is about to be deleted, or the tenant was suspended or has begun to leave
    meanwhile, when only that may be written."""
    with boundary("commit config row"), transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        if tenant.state in (TenantState.OFFBOARDING, TenantState.OFFBOARDED) and status != WITHDRAWN:
            return None
        if tenant.state == TenantState.SUSPENDED and status == ACTIVE:
            return None
        advisory_lock(WISHES_LOCK)
        newest = PublishedConfig.objects.filter(tenant=tenant).order_by("-version").first()
        restored = _restored(newest, routes)
        if restored is not None:
            routes = restored
        if status == ACTIVE:
            refused = refusal_of(tenant, routes)
            _note_refusal(tenant, refused)
            if refused is not None:
                return refused
        said = content_for(tenant, status=status, region=region, routes=routes)
        if newest is not None and runtime_config.says(newest.document) == said:
            return newest
        if is_doomed(said):
            return None
        draft = ConfigDraft(said)
        if restored is not None and newest is not None:
            draft = ConfigDraft(said, newest.restores_id, newest.instead_of, newest.reason)
        return create_row(tenant, newest, draft)


def _restored(newest: PublishedConfig | None, routes: Mapping[str, Route]) -> dict[str, Route] | None:
    """The routes that somebody rolled back to, as long as what they replace is all that is wished for since."""
    if newest is None or not newest.instead_of or newest.instead_of != runtime_config.routes_digest(routes):
        return None
    return runtime_config.routes_of(newest.document)


def refusal_of(tenant: Tenant, routes: Mapping[str, Route]) -> ConfigRefused | None:
    """Why the routes may not be published, with every rule that they break; None when they may."""
    found = violations(routes, line_rules.tenant_rules(tenant))
    if not found:
        return None
    return ConfigRefused(
        " ".join(each.detail for each in found),
        hint=" ".join(dict.fromkeys(each.hint for each in found)),
        errors=[FieldError(each.subject, each.code, each.detail) for each in found],
    )


def _note_refusal(tenant: Tenant, refused: ConfigRefused | None) -> None:
    """Keep at the tenant why its newest routes were not published, or that they may be; in the caller's transaction."""
    if refused is None:
        ConfigRefusal.objects.filter(tenant=tenant).delete()
        return
    told = [{"code": each.code, "subject": each.pointer, "detail": each.detail} for each in refused.errors]
    before = ConfigRefusal.objects.filter(tenant=tenant).first()
    if before is None or before.violations != told:
        known = {"violations": told, "what_to_do": refused.hint, "refused_at": now()}
        ConfigRefusal.objects.update_or_create(tenant=tenant, defaults=known)
        data = {"violations": told}
        record_event("runtime_config.refused", tenant=tenant, subject=tenant, actor=SYSTEM, after=data, data=data)


def content_for(tenant: Tenant, *, status: str, region: str, routes: Mapping[str, Route]) -> dict[str, Any]:
    """What a config of the tenant says: the routes with people's orders to breakers, and what its tier sets besides."""
    policy = line_rules.routing_policy_of(tenant.pk)
    return runtime_config.content(
        tenant=tenant.public_id,
        status=status,
        region=region,
        routes=_with_orders(tenant, routes),
        windows=_windows(tenant),
        ladder=Ladder(policy.breaker_failures, policy.breaker_open_seconds, policy.queue_seconds),
    )


def _with_orders(tenant: Tenant, routes: Mapping[str, Route]) -> dict[str, Route]:
    orders = {(each.route, each.line): each for each in BreakerOrder.objects.filter(tenant=tenant)}

    def ordered(name: str, target: Target) -> Target:
        order = orders.get((name, target.line))
        return replace(
            target,
            is_tripped=order is not None and order.is_tripped,
            resets=order.resets if order is not None else 0,
        )

    return {
        name: replace(route, targets=tuple(ordered(name, target) for target in route.targets))
        for name, route in routes.items()
    }


def _windows(tenant: Tenant) -> Windows:
    limits = token_limits_of(tenant.pk, now())
    return Windows(tenant.billing_timezone, tuple((each.meter, each.window, each.amount, each.mode) for each in limits))


@dataclass(frozen=True, slots=True)
class ConfigDraft:
    """A version to be: what it says, and for a roll back which version it restores, instead of which routes and why."""

    said: Mapping[str, Any]
    restores_id: int | None = None
    instead_of: str = ""
    reason: str = ""


def create_row(tenant: Tenant, newest: PublishedConfig | None, draft: ConfigDraft) -> PublishedConfig:
    """The next version's row, signed; inside the caller's transaction, under the tenant's lock."""
    version = newest.version + 1 if newest else 1
    whole = runtime_config.document(draft.said, version=version, published_at=now())
    signed = runtime_config.sign(whole, signing_key=settings.CONFIG_SIGNING_KEY)
    return PublishedConfig.objects.create(
        tenant=tenant,
        version=version,
        document=whole,
        sha256=signed.sha256,
        signature=signed.signature,
        routed_names=runtime_config.routed_names(whole),
        restores_id=draft.restores_id,
        instead_of=draft.instead_of,
        reason=draft.reason,
    )


def is_doomed(said: Mapping[str, Any]) -> bool:
    """Whether anything that a config needs is on its way out; read under the wishes lock, so that none becomes so."""
    names = runtime_config.routed_names(said)
    wished = ManagedResource.objects.filter(name__in=names, is_wanted=True)
    return wished.exclude(phase__in=(Phase.DELETING, Phase.GONE)).count() < len(names)


def _write(config: PublishedConfig) -> bool:
    tenant = config.tenant
    if PublishedConfig.objects.filter(tenant=tenant, version__gt=config.version).exists():
        return False  # overtaken; a departed tenant's table must not be written again either
    signed = runtime_config.sign(config.document, signing_key=settings.CONFIG_SIGNING_KEY)
    store = connect.config_store()
    with boundary("put config version"):
        store.put_version(tenant.public_id, config.version, signed.document, config.sha256, config.signature)
    with boundary("flip config"):
        is_ours = store.flip_current(tenant.public_id, config.version)
    if not is_ours:
        return False  # a newer version is current; this one stays a row that was never followed
    with boundary("commit config written"), transaction.atomic(durable=True):
        Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
        is_news = _record(config)
    if not is_news and config.document["status"] == WITHDRAWN:
        _take_back(tenant)
    return is_news


def _take_back(tenant: Tenant) -> None:
    """Erase what was written after its tenant had been cleared away: another process wrote this version first, and
    went on to erase it when nothing was hosted any more."""
    if not ManagedResource.objects.filter(tenant=tenant).living().exists():
        with boundary("erase late config"):
            connect.config_store().erase(tenant.public_id)


def _record(config: PublishedConfig) -> bool:
    """Note that data planes follow this version, unless a newer one was noted meanwhile; inside the transaction."""
    versions = PublishedConfig.objects.filter(tenant_id=config.tenant_id)
    if versions.filter(is_current=True, version__gte=config.version).exists():
        return False
    before = versions.filter(is_current=True).first()
    versions.filter(is_current=True).update(is_current=False)
    config.is_current, config.written_at = True, now()
    config.save(update_fields=["is_current", "written_at"])
    record_event(
        "runtime_config.published",
        tenant=config.tenant,
        subject=config,
        actor=SYSTEM,
        before={"version": before.version} if before else None,
        after={"version": config.version, "status": config.document["status"], "sha256": config.sha256},
        data={"id": config.public_id, "version": config.version, "status": config.document["status"]},
    )
    return True
