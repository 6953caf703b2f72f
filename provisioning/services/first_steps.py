"""May a tenant's first resources be made? The pre-flight is asked before anything is, and its refusal is told."""

import random
from collections.abc import Sequence

from core.actors import SYSTEM
from core.clock import now
from core.crashpoints import boundary
from provisioning import queries
from provisioning.models import ManagedResource, Operation, ServingLine
from provisioning.services.preflight import preflight
from provisioning.states import OperationState
from tenants.models import Tenant
from tenants.queries import tier_version_of
from tenants.services import onboarding
from tenants.states import TenantState

REFUSED = "Pre-flight: "
# A refused tenant is swept with the rest, and nobody raises a quota within seconds: about every twentieth sweep asks
# again. A retry asks at once.
SWEEPS_BETWEEN = 20


def may_begin(tenant: Tenant, lines: Sequence[ServingLine]) -> bool:
    """Whether to go on, on these lines. What was begun goes on; a tenant for whom nothing is made yet must pass the
    pre-flight.

    Raises AwsError when AWS has to be asked and does not answer.
    """
    if tenant.state not in (TenantState.PROVISIONING, TenantState.PROVISIONING_FAILED) or _has_begun(tenant):
        return True
    if any(queries.line_facts(line).is_awaited for line in lines):
        return True  # nothing is wished for there, and the operation says what it waits for
    if _was_just_refused(tenant):
        return False
    version = tier_version_of(tenant.pk, now())
    report = preflight(tenant_id=tenant.pk, tier_version_id=version.pk)
    if report.ok:
        return True
    with boundary("commit pre-flight refusal"):
        onboarding.fail_provisioning(tenant_id=tenant.pk, reason=f"{REFUSED}{report.summary}"[:2000], actor=SYSTEM)
    return False


def _has_begun(tenant: Tenant) -> bool:
    own = ManagedResource.objects.filter(tenant=tenant).exists()
    return own or tenant.activated_at is not None or queries.current_config(tenant.pk) is not None


def _was_just_refused(tenant: Tenant) -> bool:
    if tenant.state != TenantState.PROVISIONING_FAILED or not tenant.state_reason.startswith(REFUSED):
        return False
    failed = Operation.objects.filter(tenant=tenant, kind=Operation.Kind.ONBOARD, state=OperationState.FAILED)
    return failed.exists() and random.random() * SWEEPS_BETWEEN >= 1
