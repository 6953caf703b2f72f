"""Adapters as lines of versions: opening one, and putting a version out of use."""

import re

from django.db import IntegrityError, transaction

from core import clock
from core.actors import Actor
from core.errors import Conflict, FieldError, Invalid, NotFound, QuotaExceeded
from core.states import move
from events.record import record_event
from models_registry.models import Adapter, AdapterVersion, FoundationModel, Release, ServingProfile
from models_registry.states import VERSION_MOVES, ReleaseState, VersionState
from tenants.models import Tenant
from tenants.queries import tier_version_of
from tenants.states import TenantState

NAME = re.compile(r"[a-z](?:[a-z0-9]|-(?=[a-z0-9])){0,39}")
BASE_ROUTE = "base"
"""The route by which a tenant with a base component of its own reaches the bare base model."""


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


def archive_version(*, version_id: int, actor: Actor) -> AdapterVersion:
    """Put a ready version out of use, so that it can no longer be released; quiet when it is archived.

    Raises VersionInUse while the version is live or a release of it is pending.
    """
    with transaction.atomic(durable=True):
        version = AdapterVersion.objects.select_related("tenant").get(pk=version_id)
        # The adapter's lock keeps a release of this version from being requested meanwhile.
        Adapter.objects.select_for_update(no_key=True).get(pk=version.adapter_id)
        version.refresh_from_db(fields=["state"])
        if version.state == VersionState.ARCHIVED:
            return version
        open_states = [ReleaseState.PENDING, ReleaseState.LIVE]
        if Release.objects.filter(version=version, state__in=open_states).exists():
            raise VersionInUse(f"{version} is live or about to be.", hint="Release another version first.")
        move(version, to=VersionState.ARCHIVED, table=VERSION_MOVES)
        record_event("adapter.version_archived", tenant=version.tenant, subject=version, actor=actor)
    return version


def lock_staying_tenant(tenant_id: int) -> Tenant:
    """The tenant, locked inside the caller's transaction. Raises TenantLeaving when it is leaving or has left."""
    tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
    if tenant.state in (TenantState.OFFBOARDING, TenantState.OFFBOARDED):
        raise TenantLeaving(f"{tenant.name} is {tenant.state}.", hint="Nothing new is taken in for it.")
    return tenant


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
