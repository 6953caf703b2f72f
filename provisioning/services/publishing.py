"""Publishes runtime configs: row first, then DynamoDB, then the record. Dying anywhere is repaired by the next call.

Versions only go up, in the row, in the immutable item and in `current`; whoever comes late with an older version
finds a newer one current and writes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from aws import connect
from core.actors import SYSTEM
from core.clock import now
from core.crashpoints import boundary
from core.locks import advisory_lock
from events.record import record_event
from provisioning import runtime_config
from provisioning.models import ManagedResource, PublishedConfig
from provisioning.queries import WITHDRAWN
from provisioning.reconciler.loop import WISHES_LOCK
from provisioning.runtime_config import Route, Windows
from provisioning.states import Phase
from tenants.models import Tenant
from tenants.queries import token_limits_of
from tenants.states import TenantState


@dataclass(frozen=True, slots=True)
class Publication:
    """The version that data planes follow after the call, and whether this call changed it."""

    config: PublishedConfig | None
    is_new: bool


def publish(*, tenant_id: int, status: str, region: str, routes: Mapping[str, Route]) -> Publication:
    """Make the data planes of a tenant follow this; quiet when they do already.

    A route to something that is not wished any more is refused by publishing nothing: the caller's picture is old,
    and its next look will be better. Raises AwsError when DynamoDB cannot be written; the row then waits, and the
    next call carries on with it.
    """
    config = _row(tenant_id, status, region, routes)
    if config is None or config.is_current:
        return Publication(config=config, is_new=False)
    return Publication(config=config, is_new=_write(config))


def _row(tenant_id: int, status: str, region: str, routes: Mapping[str, Route]) -> PublishedConfig | None:
    """The newest version's row if it says this, otherwise a new one; None when the caller's picture is old: a route is
    about to be deleted, or the tenant has begun to leave meanwhile, when only a withdrawal may be written."""
    with boundary("commit config row"), transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        if tenant.state in (TenantState.OFFBOARDING, TenantState.OFFBOARDED) and status != WITHDRAWN:
            return None
        advisory_lock(WISHES_LOCK)
        said = runtime_config.content(
            tenant=tenant.public_id, status=status, region=region, routes=routes, windows=_windows(tenant)
        )
        newest = PublishedConfig.objects.filter(tenant=tenant).order_by("-version").first()
        if newest is not None and runtime_config.says(newest.document) == said:
            return newest
        names = runtime_config.routed_names(said)
        if _doomed(names):
            return None
        return _create(tenant, said, names, version=newest.version + 1 if newest else 1, at=now())


def _windows(tenant: Tenant) -> Windows:
    limits = token_limits_of(tenant.pk, now())
    return Windows(tenant.billing_timezone, tuple((each.meter, each.window, each.amount, each.mode) for each in limits))


def _create(
    tenant: Tenant, said: Mapping[str, Any], names: list[str], *, version: int, at: datetime
) -> PublishedConfig:
    whole = runtime_config.document(said, version=version, published_at=at)
    signed = runtime_config.sign(whole, signing_key=settings.CONFIG_SIGNING_KEY)
    return PublishedConfig.objects.create(
        tenant=tenant,
        version=version,
        document=whole,
        sha256=signed.sha256,
        signature=signed.signature,
        routed_names=names,
    )


def _doomed(names: list[str]) -> bool:
    """Whether any of the names is on its way out; read under the wishes lock, so that none can become so now."""
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
        return _record(config)


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
