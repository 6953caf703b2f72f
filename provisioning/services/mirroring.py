"""Keeps SageMaker's model registry a mirror of ours, and takes over what was decided there where that is wanted.

AWS is not asked for anything here: the reconciler makes, mends and removes groups and packages like all else, and
tells when somebody changed an approval there. Nothing that serves waits for the mirror.
"""

import hashlib
import logging
import random
import time
from collections.abc import Iterable

from django.conf import settings
from django.db import transaction

from aws import connect
from core.actors import SYSTEM, Actor
from core.crashpoints import boundary
from core.errors import DomainError
from core.locks import advisory_lock
from models_registry.models import Adapter, AdapterVersion
from models_registry.queries import mirrored_versions
from models_registry.services.approvals import take_over_approval
from models_registry.services.releases import release_version
from models_registry.states import OutsideApprovals
from provisioning import queries
from provisioning.desired_registry import MirroredAdapter, VersionFacts, wishes_for_registry
from provisioning.models import ManagedResource
from provisioning.reconciler.loop import WISHES_LOCK
from provisioning.services.desired_state import WishWriter
from provisioning.specs import APPROVED, MODEL_PACKAGE, REGISTRY_KINDS, UNDECIDED
from provisioning.states import Phase
from tenants.models import OffboardingStep, Tenant
from tenants.services.offboarding import complete_offboarding_step
from tenants.states import TenantState

log = logging.getLogger(__name__)


def mirror_registry(*, tenant_id: int) -> None:
    """Take over what was decided in SageMaker, then wish for a group per adapter and a package per ready version.

    A tenant that is not served, or leaves, has none. Raises AwsError when the account cannot be asked for its id.
    """
    for row in _decided_outside(tenant_id):
        _follow(row)
    account = connect.account_id()
    with boundary("commit mirror"), transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        advisory_lock(WISHES_LOCK)
        is_served = tenant.state != TenantState.OFFBOARDING and queries.needs_lines(tenant)
        lines = queries.lines_of(tenant_id) if is_served else []
        adapters = _adapters(mirrored_versions(tenant_id)) if lines else []
        wishes = wishes_for_registry(tenant.public_id, tenant.slug, lines[0].region, adapters) if lines else []
        WishWriter([tenant], account=account, routed=set(), of_registry=True).fill(tenant, wishes)


def empty_registry(*, tenant_id: int) -> None:
    """Unwish the mirror of a leaving tenant, and complete its step once AWS holds nothing of it; quiet when it is done.

    Nothing serves from the mirror, so it goes first. Raises AwsError when the account cannot be asked for its id.
    """
    step = OffboardingStep.objects.filter(tenant_id=tenant_id, key=OffboardingStep.Key.REGISTRY, done_at=None)
    if not step.exists():
        return
    mirrored = ManagedResource.objects.filter(tenant_id=tenant_id, kind__in=REGISTRY_KINDS)
    if mirrored.living().filter(is_wanted=True).exists():
        mirror_registry(tenant_id=tenant_id)
    if mirrored.living().exists():
        return
    detail = {"deleted": [{"kind": row.kind, "name": row.name} for row in mirrored.order_by("pk")]}
    with boundary("commit registry step"):
        complete_offboarding_step(tenant_id=tenant_id, key=OffboardingStep.Key.REGISTRY, detail=detail, actor=SYSTEM)


def sweep_registries() -> int:
    """Mirror every tenant that is served or has something in SageMaker's registry; how many there was time for.

    In an order of its own each time, for at most a third of the lease, like the sweeps of what serves.
    """
    left = ManagedResource.objects.living().filter(kind__in=REGISTRY_KINDS).values_list("tenant_id", flat=True)
    tenant_ids = list({*queries.served_tenants().values_list("pk", flat=True), *left})
    random.shuffle(tenant_ids)
    stop_at, done = time.monotonic() + settings.ENV.lease_seconds / 3, 0
    for tenant_id in tenant_ids:
        if time.monotonic() >= stop_at:
            break
        mirror_registry(tenant_id=tenant_id)
        done += 1
    return done


def _decided_outside(tenant_id: int) -> list[ManagedResource]:
    """Packages that AWS shows otherwise than we wish, of adapters that accept it, whose wish has not moved on."""
    rows = ManagedResource.objects.living().filter(
        tenant_id=tenant_id, kind=MODEL_PACKAGE, phase=Phase.READY, is_wanted=True, settings__follows_outside=True
    )
    return [
        row
        for row in rows
        if row.observed_generation == row.generation
        and row.shown.get("approval", UNDECIDED) not in (UNDECIDED, row.settings["approval"])
    ]


def _follow(row: ManagedResource) -> None:
    version = AdapterVersion.objects.select_related("adapter").get(public_id=row.identity["adapter_version"])
    who, is_approved = row.shown["by"] or "somebody", row.shown["approval"] == APPROVED
    taken = take_over_approval(version_id=version.pk, is_approved=is_approved, who=who, note=row.shown["note"])
    if not (taken and is_approved and version.adapter.outside_approvals == OutsideApprovals.RELEASE):
        return
    actor = Actor("system", f"aws:{who}"[:200], f"{who} in SageMaker"[:200])
    version.refresh_from_db(fields=["approval_at"])
    try:
        # Until the wish has followed, every look comes by here; what people wished meanwhile is not undone.
        release_version(
            version_id=version.pk,
            reason=f"Approved in SageMaker by {who}.",
            decided_at=version.approval_at,
            actor=actor,
        )
    except DomainError as refusal:
        log.warning("%s was approved in SageMaker and is not released: %s", version.public_id, refusal)


def _adapters(versions: Iterable[AdapterVersion]) -> list[MirroredAdapter]:
    by_adapter: dict[int, list[VersionFacts]] = {}
    adapters: dict[int, Adapter] = {}
    for version in versions:
        adapters[version.adapter_id] = version.adapter
        by_adapter.setdefault(version.adapter_id, []).append(_facts(version))
    return [
        MirroredAdapter(
            ref=adapter.public_id,
            name=adapter.name,
            follows_outside=adapter.outside_approvals != OutsideApprovals.UNDO,
            versions=by_adapter[pk],
        )
        for pk, adapter in adapters.items()
    ]


def _facts(version: AdapterVersion) -> VersionFacts:
    adapter, base = version.adapter, version.adapter.foundation_model
    targets = hashlib.sha256(",".join(version.target_modules).encode()).hexdigest()[:16]
    return VersionFacts(
        ref=version.public_id,
        number=version.number or 0,
        image=adapter.serving_profile.image,
        artifact_url=connect.artifacts().url(version.artifact_key),
        approval=version.approval,
        approval_note=f"{version.approval_by}: {version.approval_reason}" if version.approval_by else "",
        facts={
            "adapter": adapter.public_id,
            "adapter_version": version.public_id,
            "route": adapter.name,
            "number": version.number,
            "base": base.name,
            "base_revision": version.base_revision or base.revision,
            "rank": version.rank,
            "alpha": "" if version.alpha is None else version.alpha,
            "target_modules_sha256": targets,
            "sha256": version.sha256,
            "dataset": version.dataset_ref,
            "training_job": version.training_job,
            "uploaded_by": version.uploaded_by,
        },
    )
