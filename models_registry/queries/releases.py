"""Reading what should serve and what did."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from core.errors import NotFound
from core.prepared import Prepared
from core.reading import the_one
from models_registry.models import Adapter, AdapterVersion, Canary, CanaryInterval, Release, ServedInterval
from models_registry.models.canaries import EVERYTHING
from models_registry.states import ReleaseState, VersionState

# Long, or of the upload alone. Each column of an ordered read costs Django time as well.
_NOT_FOR_RELEASING = tuple(
    f"version__{column}"
    for column in (
        "parts", "findings", "facts", "metrics", "notes", "target_modules", "dataset_ref", "base_revision",
        "training_job", "source_uri", "waiting_reason", "quarantine_cleared_at", "claimed_until", "attempts",
    )
)  # fmt: skip


@dataclass(frozen=True)
class WantedRelease:
    """What one adapter should serve: the newest release that is pending or live, `version` None for a withdrawal.

    `previous` is the version that served before the live one, and `previous_stopped_at` when it stopped: whether it
    is worth keeping warm is provisioning's decision. `percent` is the share of the requests that the version should
    have beside the live one: 100 unless it is released in steps.
    """

    adapter: Adapter
    release: Release
    version: AdapterVersion | None
    live_version: AdapterVersion | None
    previous: AdapterVersion | None
    previous_stopped_at: datetime | None
    percent: int = EVERYTHING


def wanted_releases(tenant_id: int) -> list[WantedRelease]:
    """What a tenant's adapters should serve, by adapter; adapters without an open release are left out."""
    open_releases = (
        Release.objects.filter(adapter__tenant_id=tenant_id, state__in=[ReleaseState.PENDING, ReleaseState.LIVE])
        .select_related("adapter__tenant", "adapter__foundation_model", "adapter__serving_profile")
        .select_related("adapter__live_version", "version", "canary")
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
                percent=_share(release),
            )
        )
    return wanted


def _share(release: Release) -> int:
    live_id = release.adapter.live_version_id
    shares = release.state == ReleaseState.PENDING and live_id is not None and release.version_id != live_id
    canary: Canary | None = getattr(release, "canary", None) if shares else None
    return canary.percent if canary is not None else EVERYTHING


_NEWEST = Prepared(
    lambda adapter_id: (
        Release.objects.filter(adapter_id=adapter_id, state__in=[ReleaseState.PENDING, ReleaseState.LIVE])
        .select_related("version", "canary")
        .defer("evidence", *_NOT_FOR_RELEASING)
        .order_by("-sequence")[:1]
    ),
    adapter_id=-1,
)
_PREVIOUS = Prepared(
    lambda adapter_id, live_version_id: (
        ServedInterval.objects.filter(
            adapter_id=adapter_id, during__endswith__isnull=False, version__state=VersionState.READY
        )
        .exclude(version_id=live_version_id)
        .select_related("version")
        .defer(*_NOT_FOR_RELEASING)
        .order_by("-during")[:1]
    ),
    adapter_id=-1,
    live_version_id=-2,
)


def newest_release(adapter_id: int) -> Release | None:
    """The newest release of an adapter that is pending or live."""
    return _NEWEST.first(adapter_id=adapter_id)


def previous_served(adapter_id: int, live_version_id: int | None) -> ServedInterval | None:
    """The last ended interval of another version than the live one, if that version can still be released."""
    # No version has the key 0; a comparison with NULL would hide every interval.
    return _PREVIOUS.first(adapter_id=adapter_id, live_version_id=live_version_id or 0)


def served_at(adapter_id: int, at: datetime) -> ServedInterval | None:
    """Which version answered at an instant, with its release; None when none did."""
    return (
        ServedInterval.objects.filter(adapter_id=adapter_id, during__contains=at)
        .select_related("version", "release")
        .first()
    )


def canary_at(adapter_id: int, at: datetime) -> CanaryInterval | None:
    """Which version had a share of the requests beside the one of `served_at`; None when none did."""
    return (
        CanaryInterval.objects.filter(adapter_id=adapter_id, during__contains=at)
        .select_related("version", "release")
        .first()
    )


def canary_timeline(adapter_id: int) -> QuerySet[CanaryInterval]:
    """Which version had which share beside what was live, from when until when, newest first."""
    shares = CanaryInterval.objects.filter(adapter_id=adapter_id)
    return shares.select_related("version", "release").order_by("-during")


def canaries_under_way(tenant_id: int | None = None) -> QuerySet[Canary]:
    """Canaries of pending releases whose share data planes were told of; of one tenant, or all."""
    found = Canary.objects.filter(release__state=ReleaseState.PENDING, step_since__isnull=False)
    found = found.filter(release__adapter__tenant_id=tenant_id) if tenant_id is not None else found
    return found.select_related("release__adapter__tenant", "release__adapter__live_version", "release__version")


def has_open_share(tenant_id: int) -> bool:
    """Whether the ledger says that a canary of this tenant has a share now."""
    return CanaryInterval.objects.filter(adapter__tenant_id=tenant_id, during__endswith__isnull=True).exists()


def timeline(adapter_id: int) -> QuerySet[ServedInterval]:
    """What served from when until when, newest first; `during.upper` is None for what serves now."""
    return ServedInterval.objects.filter(adapter_id=adapter_id).select_related("version", "release").order_by("-during")


def list_releases(adapter_id: int) -> QuerySet[Release]:
    """Every decision about an adapter, newest first, refused ones too."""
    return Release.objects.filter(adapter_id=adapter_id).select_related("version", "canary").order_by("-sequence")


def get_release(ref: str, *, tenant_ids: Collection[int] | None) -> Release:
    """By public id. Raises NotFound when absent or invisible."""
    releases = Release.objects.select_related("adapter__tenant", "adapter__live_version", "version", "canary")
    if tenant_ids is not None:
        releases = releases.filter(adapter__tenant_id__in=tenant_ids)
    release = the_one(releases.filter(public_id=ref))
    if release is None:
        raise NotFound(f"There is no release {ref}.")
    return release
