"""Doorbells of this room."""

import logging

from celery import shared_task

from aws.errors import AwsError
from events.dispatch import ring_bell
from provisioning.services import (
    bulk,
    canary_watch,
    certificates,
    converge,
    findings,
    limit_watch,
    mirroring,
    reconciling,
)

log = logging.getLogger(__name__)


@shared_task(acks_late=True)
def converge_tenant(*, tenant_id: int, **_: object) -> None:
    """Take every step that can be taken for a tenant now."""
    converge.converge_tenant(tenant_id=tenant_id)


@shared_task(acks_late=True)
def converge_around(*, resource_id: int, **_: object) -> None:
    """Converge whoever a resource matters to."""
    converge.converge_around(resource_id=resource_id)


@shared_task(acks_late=True)
def mirror_registry(*, tenant_id: int, **_: object) -> None:
    """Bring SageMaker's registry and a tenant's versions together."""
    try:
        mirroring.mirror_registry(tenant_id=tenant_id)
    except AwsError as error:
        log.warning("the mirror of tenant %s waits for the sweep: %s", tenant_id, error)


@shared_task(acks_late=True)
def sweep_registries(**_: object) -> None:
    """Mirror tenants whose bell was lost."""
    try:
        mirroring.sweep_registries()
    except AwsError as error:
        log.warning("the mirrors wait for the next sweep: %s", error)


@shared_task(acks_late=True)
def reconcile_due(**_: object) -> None:
    """Look at every resource that is due; rings again when time was up before the work was."""
    if reconciling.reconcile_due().is_more_due:
        ring_bell("provisioning.tasks.reconcile_due", {})


@shared_task(acks_late=True)
def sweep_unsettled_tenants(**_: object) -> None:
    """Converge tenants whose bell was lost."""
    converge.sweep_unsettled_tenants()


@shared_task(acks_late=True)
def sweep_served_tenants(**_: object) -> None:
    """Look at every served tenant, however settled it seems."""
    converge.sweep_served_tenants()


@shared_task(acks_late=True)
def keep_inventory(**_: object) -> None:
    """Compare AWS with our rows; what cannot be listed completely is listed by the next bell."""
    try:
        findings.keep_inventory()
    except AwsError as error:
        log.warning("no inventory was taken: %s", error)


@shared_task(acks_late=True)
def certify_departed(**_: object) -> None:
    """Prove for every tenant that has left that nothing of it is left in AWS."""
    certificates.certify_departed()


@shared_task(acks_late=True)
def advance_bulk_operations(**_: object) -> None:
    """Take every open bulk operation as far as it goes now."""
    bulk.advance_bulk_operations()


@shared_task(acks_late=True)
def watch_limits(**_: object) -> None:
    """Tell of token limits that fill up, and keep what was turned away."""
    try:
        limit_watch.watch_limits()
    except AwsError as error:
        log.warning("token limits wait for the next look: %s", error)


@shared_task(acks_late=True)
def watch_canaries(**_: object) -> None:
    """Look at every release in steps: on, held, or back."""
    canary_watch.watch_canaries()
