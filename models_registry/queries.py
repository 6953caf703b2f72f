"""Reading the registry. `tenant_ids` has no default: None means that the caller may see all tenants."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q, QuerySet

from core.errors import NotFound
from models_registry.models import Adapter, AdapterVersion, FoundationModel, Release, ServedInterval, ServingProfile
from models_registry.states import ReleaseState, VersionState


@dataclass(frozen=True)
class WantedRelease:
    """What one adapter should serve: the newest release that is pending or live, `version` None for a withdrawal.

    `previous` is the version that served before the live one, and `previous_stopped_at` when it stopped: whether it
    is worth keeping warm is provisioning's decision.
    """

    adapter: Adapter
    release: Release
    version: AdapterVersion | None
    live_version: AdapterVersion | None
    previous: AdapterVersion | None
    previous_stopped_at: datetime | None


def wanted_releases(tenant_id: int) -> list[WantedRelease]:
    """What a tenant's adapters should serve, by adapter; adapters without an open release are left out."""
    open_releases = (
        Release.objects.filter(adapter__tenant_id=tenant_id, state__in=[ReleaseState.PENDING, ReleaseState.LIVE])
        .select_related("adapter__tenant", "adapter__foundation_model", "adapter__serving_profile")
        .select_related("adapter__live_version", "version")
        .order_by("adapter_id", "-sequence")
        .distinct("adapter_id")
    )
    wanted = []
    for release in open_releases:
        adapter = release.adapter
        before = previous_served(adapter.pk, adapter.live_version_id) if adapter.live_version_id else None
        wanted.append(
            WantedRelease(
                adapter=adapter,
                release=release,
                version=release.version,
                live_version=adapter.live_version,
                previous=before.version if before else None,
                previous_stopped_at=before.during.upper if before else None,
            )
        )
    return wanted


def newest_release(adapter_id: int) -> Release | None:
    """The newest release of an adapter that is pending or live."""
    return (
        Release.objects.filter(adapter_id=adapter_id, state__in=[ReleaseState.PENDING, ReleaseState.LIVE])
        .select_related("version")
        .order_by("-sequence")
        .first()
    )


def previous_served(adapter_id: int, live_version_id: int | None) -> ServedInterval | None:
    """The last ended interval of another version than the live one, if that version can still be released."""
    return (
        ServedInterval.objects.filter(
            adapter_id=adapter_id, during__endswith__isnull=False, version__state=VersionState.READY
        )
        .exclude(version_id=live_version_id)
        .select_related("version")
        .order_by("-during")
        .first()
    )


def served_at(adapter_id: int, at: datetime) -> ServedInterval | None:
    """Which version answered at an instant, with its release; None when none did."""
    return (
        ServedInterval.objects.filter(adapter_id=adapter_id, during__contains=at)
        .select_related("version", "release")
        .first()
    )


def timeline(adapter_id: int) -> QuerySet[ServedInterval]:
    """What served from when until when, newest first; `during.upper` is None for what serves now."""
    return ServedInterval.objects.filter(adapter_id=adapter_id).select_related("version", "release").order_by("-during")


def list_releases(adapter_id: int) -> QuerySet[Release]:
    """Every decision about an adapter, newest first, refused ones too."""
    return Release.objects.filter(adapter_id=adapter_id).select_related("version").order_by("-sequence")


def get_release(ref: str, *, tenant_ids: Collection[int] | None) -> Release:
    """By public id. Raises NotFound when absent or invisible."""
    releases = Release.objects.select_related("adapter__tenant", "version")
    if tenant_ids is not None:
        releases = releases.filter(adapter__tenant_id__in=tenant_ids)
    release = releases.filter(public_id=ref).first()
    if release is None:
        raise NotFound(f"There is no release {ref}.")
    return release


def get_adapter(ref: str, *, tenant_ids: Collection[int] | None) -> Adapter:
    """By public id, with tenant, base, profile and its two pointers. Raises NotFound when absent or invisible."""
    adapter = _adapters(tenant_ids).filter(public_id=ref).first()
    if adapter is None:
        raise NotFound(f"There is no adapter {ref}.")
    return adapter


def list_adapters(
    *, tenant_ids: Collection[int] | None, tenant_id: int | None = None, q: str | None = None
) -> QuerySet[Adapter]:
    """Adapters with `version_count` (ready ones) and `undecided_count`, newest first; `q` searches name and id."""
    adapters = _adapters(tenant_ids)
    if tenant_id is not None:
        adapters = adapters.filter(tenant_id=tenant_id)
    if q:
        adapters = adapters.filter(Q(name__icontains=q) | Q(public_id=q) | Q(tenant__slug=q))
    ready, undecided = VersionState.READY, VersionState.VALIDATING
    return adapters.annotate(
        version_count=Count("versions", filter=Q(versions__state=ready)),
        undecided_count=Count("versions", filter=Q(versions__state=undecided)),
    ).order_by("-id")


def get_version(ref: str, *, tenant_ids: Collection[int] | None) -> AdapterVersion:
    """By public id. Raises NotFound when absent, invisible, or still on its way to us."""
    version = _versions(tenant_ids).filter(public_id=ref).first()
    if version is None:
        raise NotFound(f"There is no adapter version {ref}.")
    return version


def list_versions(
    *, tenant_ids: Collection[int] | None, adapter_id: int | None = None, state: str | None = None
) -> QuerySet[AdapterVersion]:
    """Versions that have arrived, newest first."""
    versions = _versions(tenant_ids)
    if adapter_id is not None:
        versions = versions.filter(adapter_id=adapter_id)
    if state:
        versions = versions.filter(state=state)
    return versions.order_by("-id")


def list_foundation_models() -> QuerySet[FoundationModel]:
    """The base models on offer, with their serving profiles."""
    return FoundationModel.objects.prefetch_related("serving_profiles")


def get_foundation_model(ref: str) -> FoundationModel:
    """By public id or name (then the newest revision of it). Raises NotFound."""
    model = FoundationModel.objects.filter(Q(public_id=ref) | Q(name=ref)).order_by("-pk").first()
    if model is None:
        known = ", ".join(FoundationModel.objects.values_list("name", flat=True)[:20])
        raise NotFound(f"There is no base model {ref}.", hint=f"On offer are: {known or 'none yet'}.")
    return model


def get_serving_profile(ref: str) -> ServingProfile:
    """By public id or name. Raises NotFound."""
    profile = ServingProfile.objects.select_related("foundation_model").filter(Q(public_id=ref) | Q(name=ref)).first()
    if profile is None:
        raise NotFound(f"There is no serving profile {ref}.")
    return profile


def _adapters(tenant_ids: Collection[int] | None) -> QuerySet[Adapter]:
    return Adapter.objects.visible_to(tenant_ids).select_related(
        "tenant", "foundation_model", "serving_profile", "latest_version", "live_version"
    )


def _versions(tenant_ids: Collection[int] | None) -> QuerySet[AdapterVersion]:
    """Uploads on their way are nobody's business yet: they may vanish without a trace."""
    return (
        AdapterVersion.objects.visible_to(tenant_ids)
        .exclude(state=VersionState.UPLOADING)
        .select_related("tenant", "adapter__foundation_model", "adapter__serving_profile")
    )
