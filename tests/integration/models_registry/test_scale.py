"""Lists at the size of a large company: 10,000 adapters with 100,000 versions, 1,000 of them of one adapter."""

import time
from collections.abc import Callable
from statistics import median

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.paging import keyset_page
from models_registry import queries
from models_registry.models import Adapter
from tests.integration.models_registry.test_releases import ready

ADAPTERS, VERSIONS_EACH, OF_ONE = 10_000, 10, 1_000
FILL = """
INSERT INTO models_registry_adapter (public_id, created_at, tenant_id, foundation_model_id, serving_profile_id, name,
    description, tags, outside_approvals, next_number, next_sequence)
SELECT 'adp_' || n, now(), tenant_id, foundation_model_id, serving_profile_id, 'a' || n, '', '{}', 'undo',
    %(each)s + 1, 1
FROM models_registry_adapter, generate_series(1, %(adapters)s) n WHERE id = %(like)s;
"""
VERSIONS = """
INSERT INTO models_registry_adapterversion
SELECT (jsonb_populate_record(v, jsonb_build_object('id', %(from)s + row_number() OVER (), 'number', n + %(skip)s,
    'adapter_id', a.id, 'public_id', 'adv_' || a.id || '_' || n + %(skip)s))).*
FROM models_registry_adapterversion v, models_registry_adapter a, generate_series(1, %(each)s) n
WHERE v.id = %(like)s AND a.id = ANY (%(of)s)
"""


def fill(adapter: Adapter) -> Adapter:
    """The rows, made in the database; gives the adapter with 1,000 versions."""
    like = ready(adapter, approval="not_required")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(FILL, {"each": VERSIONS_EACH, "adapters": ADAPTERS, "like": adapter.pk})
        made = list(Adapter.objects.exclude(pk=adapter.pk).order_by("pk").values_list("pk", flat=True))
        values = {"from": 1_000_000, "each": VERSIONS_EACH, "like": like.pk, "of": made, "skip": 0}
        cursor.execute(VERSIONS, values)
        more = {"from": 2_000_000, "each": OF_ONE - 10, "like": like.pk, "of": [made[0]], "skip": VERSIONS_EACH}
        cursor.execute(VERSIONS, more)
        cursor.execute(
            "UPDATE models_registry_adapter a SET latest_version_id = v.id, live_version_id = v.id "
            "FROM models_registry_adapterversion v WHERE v.adapter_id = a.id AND v.number = 10 AND a.id != %s",
            [adapter.pk],
        )
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ANALYZE models_registry_adapter, models_registry_adapterversion")
    return Adapter.objects.get(pk=made[0])


def seconds(work: Callable[[], object]) -> float:
    def once() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    once()
    return median(once() for _ in range(15))


@pytest.mark.long
def test_lists_cost_what_they_show_and_not_what_there_is(adapter: Adapter) -> None:
    many = fill(adapter)
    few = Adapter.objects.exclude(pk__in=[adapter.pk, many.pk]).order_by("-pk")[0]

    def versions_of(which: Adapter) -> Callable[[], object]:
        found = queries.list_versions(tenant_ids=None, adapter_id=which.pk)
        return lambda: keyset_page(found, cursor=None, limit=10)

    def adapters() -> object:
        return [
            (row.latest_version, row.live_version, row.tenant)
            for row in keyset_page(queries.list_adapters(tenant_ids=None), cursor=None, limit=100).items
        ]

    with CaptureQueriesContext(connection) as captured:
        adapters()
    assert len(captured) == 1
    ten, thousand, hundred = seconds(versions_of(few)), seconds(versions_of(many)), seconds(adapters)
    print(f"10 versions of 10: {ten * 1e3:.2f} ms, of 1,000: {thousand * 1e3:.2f} ms")
    print(f"100 of 10,000 adapters: {hundred * 1e3:.1f} ms")
    assert thousand <= 1.3 * ten
    for filters in ({"tenant_id": adapter.tenant_id}, {"base_id": adapter.foundation_model_id}, {"tag": "team:a"}):
        found = queries.list_adapters(tenant_ids=None, **filters)
        assert seconds(lambda found=found: keyset_page(found, cursor=None, limit=100)) < 0.1  # type: ignore[misc]
