"""Adapters as lines of versions: opening one, describing it, and putting a version out of use."""

import re
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from core import clock
from core.actors import Actor
from core.errors import Conflict, FieldError, Invalid, NotFound, QuotaExceeded
from core.prepared import Prepared
from core.states import move
from events.record import record_event
from models_registry.models import Adapter, AdapterVersion, FoundationModel, Release, ServingProfile
from models_registry.states import VERSION_MOVES, OutsideApprovals, ReleaseState, VersionState
from tenants.models import Tenant
from tenants.queries import tier_version_of
from tenants.states import TenantState

NAME = re.compile(r"[a-z](?:[a-z0-9]|-(?=[a-z0-9])){0,39}")
MAX_DESCRIPTION = 2000
MAX_TAGS = 20
TAG_KEY = re.compile(r"[a-z0-9](?:[a-z0-9_.-]{0,58}[a-z0-9])?")
MAX_TAG_VALUE = 200
BASE_ROUTE = "base"
"""The route by which a tenant with a base component of its own reaches the bare base model."""
_LOCKED = Prepared(
    lambda pk: (
        Adapter.objects.select_for_update(of=("tenant", "self"), no_key=True).select_related("tenant").filter(pk=pk)
    ),
    pk=-1,
)


class AdapterInvalid(Invalid):
    """The adapter's name cannot be used."""

    code = "adapter_invalid"
    title = "The adapter's details cannot be used"


class AdapterNameTaken(Conflict):
    """The tenant has an adapter of this name already."""

    code = "adapter_name_taken"
    title = "Name taken"


class TenantLeaving(Conflict):
    """The tenant is leaving or has left, so nothing new is taken in."""

    code = "tenant_leaving"
    title = "The tenant is leaving"


class NotServable(Conflict):
    """The base model has no serving profile, so nothing says which rules its adapters must meet."""

    code = "not_servable"
    title = "The base model cannot be served yet"


class VersionInUse(Conflict):
    """The version is live or about to be."""

    code = "version_in_use"
    title = "The version is in use"


def create_adapter(*, tenant_id: int, name: str, foundation_model_id: int, actor: Actor) -> Adapter:
    """Open a line of versions for a tenant on a base model, served by the base model's newest profile.

    Raises AdapterInvalid, AdapterNameTaken, NotFound, NotServable, TenantLeaving, and QuotaExceeded when the tier
    allows no further adapter. Nothing is written then.
    """
    _refuse_invalid(name)
    try:
        with transaction.atomic(durable=True):
            tenant = lock_staying_tenant(tenant_id)
            model = FoundationModel.objects.filter(pk=foundation_model_id).first()
            if model is None:
                raise NotFound("There is no such base model.")
            profile = ServingProfile.objects.filter(foundation_model=model).order_by("-pk").first()
            if profile is None:
                raise NotServable(f"{model} has no serving profile yet.", hint="Define one, then try again.")
            _refuse_above_quota(tenant)
            adapter = Adapter.objects.create(tenant=tenant, name=name, foundation_model=model, serving_profile=profile)
            record_event(
                "adapter.created",
                tenant=tenant,
                subject=adapter,
                actor=actor,
                after={"name": name, "foundation_model": model.public_id, "serving_profile": profile.public_id},
            )
    except IntegrityError as error:
        if "adapter_name_unique" in str(error):
            detail = f"The tenant has an adapter {name} already."
            raise AdapterNameTaken(detail, errors=[FieldError("/name", "adapter_name_taken", detail)]) from error
        raise
    return adapter


def describe_adapter(
    *, adapter_id: int, description: str | None = None, tags: Mapping[str, str] | None = None, actor: Actor
) -> Adapter:
    """Replace an adapter's description, its tags, or both; what is None stays. Raises AdapterInvalid, TenantLeaving."""
    changes: dict[str, Any] = {}
    if description is not None:
        changes["description"] = description
    if tags is not None:
        changes["tags"] = dict(tags)
    _refuse_undescribable(changes)
    return _change(adapter_id, changes, "", actor)


def set_outside_approvals(*, adapter_id: int, policy: str, reason: str, actor: Actor) -> Adapter:
    """Say what an approval in SageMaker's registry is worth for an adapter; see `OutsideApprovals`.

    Raises AdapterInvalid for an unknown policy, and TenantLeaving.
    """
    if policy not in OutsideApprovals.values:
        raise AdapterInvalid(f"A policy is one of {', '.join(OutsideApprovals.values)}.")
    return _change(adapter_id, {"outside_approvals": policy}, reason, actor)


def archive_version(*, version_id: int, reason: str = "", actor: Actor) -> AdapterVersion:
    """Put a ready version out of use, so that it can no longer be released; quiet when it is archived.

    Raises VersionInUse while the version is live or a release of it is pending.
    """
    with transaction.atomic(durable=True):
        version = lock_version(version_id)
        if version.state == VersionState.ARCHIVED:
            return version
        open_states = [ReleaseState.PENDING, ReleaseState.LIVE]
        if Release.objects.filter(version=version, state__in=open_states).exists():
            raise VersionInUse(
                f"{version} is live or about to be.",
                hint="Release another version or withdraw the adapter, then archive it.",
            )
        move(version, to=VersionState.ARCHIVED, table=VERSION_MOVES)
        _point_at_latest(version.adapter_id)
        record_event("adapter.version_archived", tenant=version.tenant, subject=version, actor=actor, reason=reason)
    return version


def restore_version(*, version_id: int, reason: str = "", actor: Actor) -> AdapterVersion:
    """Make an archived version releasable again; quiet when it is ready. Raises TenantLeaving and IllegalMove."""
    with transaction.atomic(durable=True):
        version = lock_version(version_id)
        if version.state == VersionState.READY:
            return version
        lock_staying_tenant(version.tenant_id)
        move(version, to=VersionState.READY, table=VERSION_MOVES)
        _point_at_latest(version.adapter_id)
        record_event("adapter.version_restored", tenant=version.tenant, subject=version, actor=actor, reason=reason)
    return version


def lock_version(version_id: int) -> AdapterVersion:
    """A version, read after its tenant and its adapter were locked in that order, as everything here locks them."""
    found = AdapterVersion.objects.only("adapter_id").get(pk=version_id)
    lock_adapter(found.adapter_id)
    return AdapterVersion.objects.select_related("tenant", "adapter", "replacement").get(pk=version_id)


def lock_adapter(adapter_id: int) -> Adapter:
    """An adapter with its tenant, both locked by one statement, the tenant first."""
    adapter = _LOCKED.first(pk=adapter_id)
    if adapter is None:
        raise Adapter.DoesNotExist(f"There is no adapter with the key {adapter_id}.")
    return adapter


def refuse_leaving(tenant: Tenant) -> None:
    """Raises TenantLeaving when the tenant is leaving or has left."""
    if tenant.state in (TenantState.OFFBOARDING, TenantState.OFFBOARDED):
        raise TenantLeaving(f"{tenant.name} is {tenant.state}.", hint="Nothing new is taken in for it.")


def lock_staying_tenant(tenant_id: int) -> Tenant:
    """The tenant, locked inside the caller's transaction. Raises TenantLeaving when it is leaving or has left."""
    tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
    refuse_leaving(tenant)
    return tenant


def _change(adapter_id: int, changes: Mapping[str, Any], reason: str, actor: Actor) -> Adapter:
    with transaction.atomic(durable=True):
        adapter = lock_adapter(adapter_id)
        refuse_leaving(adapter.tenant)
        before = {column: getattr(adapter, column) for column in changes}
        if before == changes:
            return adapter
        for column, value in changes.items():
            setattr(adapter, column, value)
        adapter.save(update_fields=list(changes))
        record_event(
            "adapter.updated",
            tenant=adapter.tenant,
            subject=adapter,
            actor=actor,
            reason=reason,
            before=before,
            after=dict(changes),
        )
    return adapter


def _point_at_latest(adapter_id: int) -> None:
    newest = AdapterVersion.objects.filter(adapter_id=adapter_id, state=VersionState.READY).order_by("-number")
    Adapter.objects.filter(pk=adapter_id).update(latest_version=newest.values("pk")[:1])


def _refuse_undescribable(changes: Mapping[str, Any]) -> None:
    errors = []
    text = changes.get("description", "")
    if len(text) > MAX_DESCRIPTION or "\0" in text:
        errors.append(FieldError("/description", "invalid", f"A description is up to {MAX_DESCRIPTION} characters."))
    tags = changes.get("tags", {})
    for key, value in tags.items():
        if not TAG_KEY.fullmatch(key) or not isinstance(value, str) or len(value) > MAX_TAG_VALUE or "\0" in value:
            detail = f"A tag is a short key of small letters and digits, and up to {MAX_TAG_VALUE} characters."
            errors.append(FieldError(f"/tags/{key}", "invalid", detail))
    if len(tags) > MAX_TAGS:
        errors.append(FieldError("/tags", "too_many", f"An adapter has up to {MAX_TAGS} tags."))
    if errors:
        raise AdapterInvalid(" ".join(error.detail for error in errors), errors=errors)


def _refuse_invalid(name: str) -> None:
    detail = ""
    if not NAME.fullmatch(name):
        detail = "A name is 1 to 40 small letters, digits and single hyphens, beginning with a letter."
    elif name == BASE_ROUTE:
        detail = f"The name {BASE_ROUTE} is reserved for the base model itself."
    if detail:
        raise AdapterInvalid(detail, errors=[FieldError("/name", "invalid", detail)])


def _refuse_above_quota(tenant: Tenant) -> None:
    """Counting is safe: the tenant's row is locked, so nobody else opens an adapter for it meanwhile."""
    tier = tier_version_of(tenant.pk, clock.now())
    if Adapter.objects.filter(tenant=tenant).count() >= tier.max_adapters:
        raise QuotaExceeded(
            f"{tier.tier.name} allows {tier.max_adapters} adapters.",
            hint="Upload a new version of an existing adapter, or move the tenant to a larger tier.",
        )
