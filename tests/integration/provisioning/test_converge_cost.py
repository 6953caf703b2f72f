"""What a look at a tenant costs: sweeps look at every one of them again and again, mostly to find nothing to do."""

from django.db import connection
from django.test.utils import CaptureQueriesContext

from provisioning.models import PublishedConfig
from provisioning.services.converge import converge_tenant
from tests.integration.provisioning.changing import change_to, served_tenant

# Four transactions with their locks are 16 of them; what remains is a read for each thing that decides.
SETTLED, CHANGING = 44, 70


def queries_of(tenant) -> int:
    with CaptureQueriesContext(connection) as asked:
        converge_tenant(tenant_id=tenant.pk)
    return len(asked)


def test_a_look_at_a_tenant_asks_the_database_a_bounded_number_of_times_and_writes_nothing(world):
    tenant = served_tenant(world, "acme", "advanced")
    configs = PublishedConfig.objects.count()
    assert queries_of(tenant) <= SETTLED
    change_to(tenant, "premium")
    world.step(tenant)
    assert queries_of(tenant) <= CHANGING
    assert PublishedConfig.objects.count() == configs
