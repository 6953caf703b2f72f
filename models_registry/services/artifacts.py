"""Erasing what a departed tenant left in the bucket, and proving it."""

import logging

from django.db import transaction

from aws.errors import AwsError
from core import clock
from core.actors import SYSTEM, Actor
from core.crashpoints import crashpoint
from core.states import move
from models_registry.artifacts import artifact_prefix, clear, quarantine_prefix, versions_under
from models_registry.inspection.findings import Finding
from models_registry.models import AdapterVersion
from models_registry.services.releases import end_serving
from models_registry.states import UNDECIDED, VERSION_MOVES, VersionState
from tenants.models import OffboardingStep, Tenant
from tenants.queries import erasure_waits_for
from tenants.services.offboarding import complete_offboarding_step
from tenants.states import TenantState

log = logging.getLogger(__name__)

_FIRST = (OffboardingStep.Key.RESOURCES, OffboardingStep.Key.FINAL_INVOICE)
"""Until nothing in AWS loads an artifact and the last invoice is out, the artifacts stay."""


def erase_tenant_artifacts(*, tenant_id: int, actor: Actor) -> bool:
    """Delete all objects of a leaving tenant, list again, and complete the step `artifacts`; True when it is done.

    False, with nothing completed, while a legal hold or its retention lasts, while one of its uploads is still on its
    way or being judged, or when the second listing finds something: the sweep comes back. Versions stay as rows,
    because invoices and the ledger name them.
    Raises aws.errors.AwsError, and ValueError for a tenant that is not leaving.
    """
    tenant = Tenant.objects.get(pk=tenant_id)
    if tenant.state != TenantState.OFFBOARDING:
        raise ValueError(f"{tenant.public_id} is {tenant.state}; only a leaving tenant's artifacts are erased")
    if erasure_waits_for(tenant, clock.now()):
        return False
    if not _stop_validations(tenant):
        return False
    end_serving(tenant_id=tenant_id, at=clock.now(), actor=actor)
    prefixes = [quarantine_prefix(tenant), artifact_prefix(tenant)]
    deleted = sum(clear(prefix) for prefix in prefixes)
    crashpoint("erase:deleted")
    left = sum(versions_under(prefix) for prefix in prefixes)
    if left:
        log.warning("%s versions of %s appeared while they were erased", left, tenant.public_id)
        return False
    _forget_uploads(tenant)
    detail = {"deleted_objects": deleted, "left_objects": 0, "prefixes": prefixes}
    complete_offboarding_step(tenant_id=tenant_id, key=OffboardingStep.Key.ARTIFACTS, detail=detail, actor=actor)
    return True


def erase_departed_artifacts() -> int:
    """Erase for every tenant whose departure waits for nothing else of ours; how many were completed."""
    waiting = OffboardingStep.objects.filter(key=OffboardingStep.Key.ARTIFACTS, done_at=None)
    waiting = waiting.filter(tenant__state=TenantState.OFFBOARDING)
    done = 0
    for step in waiting.order_by("pk"):
        if OffboardingStep.objects.filter(tenant_id=step.tenant_id, key__in=_FIRST, done_at=None).exists():
            continue
        try:
            done += erase_tenant_artifacts(tenant_id=step.tenant_id, actor=SYSTEM)
        except AwsError as error:
            log.warning("artifacts of tenant %s are not erased yet: %s", step.tenant_id, error)
    return done


def _stop_validations(tenant: Tenant) -> bool:
    """Reject what nobody has begun to judge; False while a request or a worker may still store something."""
    with transaction.atomic(durable=True):
        versions = AdapterVersion.objects.filter(tenant=tenant)
        busy = versions.filter(state__in=UNDECIDED)
        if busy.filter(claimed_until__gt=clock.real_now()).exists():
            return False
        waiting = versions.filter(state__in=[VersionState.IMPORTING, VersionState.VALIDATING])
        finding = Finding("tenant_leaving", "error", "The tenant is leaving; nothing new is taken in.")
        for version in waiting.select_for_update(no_key=True):
            move(
                version,
                to=VersionState.REJECTED,
                table=VERSION_MOVES,
                findings=[finding.as_dict()],
                decided_at=clock.now(),
            )
    return True


def _forget_uploads(tenant: Tenant) -> None:
    """The objects are gone; what never arrived needs no row, and nothing waits in quarantine."""
    with transaction.atomic(durable=True):
        versions = AdapterVersion.objects.filter(tenant=tenant)
        versions.filter(state=VersionState.UPLOADING).delete()
        versions.filter(quarantine_cleared_at=None).update(quarantine_cleared_at=clock.now())
