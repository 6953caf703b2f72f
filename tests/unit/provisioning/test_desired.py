"""Which wishes follow from lines and adapters."""

from dataclasses import replace

from provisioning.desired import (
    AdapterFacts,
    LineFacts,
    TenantFacts,
    foundation_slots,
    wishes_for_pool,
    wishes_for_tenant,
)

POOLED = LineFacts(
    pk=1, name="pooled", region="us-west-2", endpoint_scope="shared", component_scope="shared",
    instance_type="ml.g5.2xlarge", instance_count=1, max_instance_count=4, copies=2, image="i", environment={},
    model_data_uri="s3://b/m/", accelerators=1, min_memory_mb=8192, execution_role_arn="role",
)  # fmt: skip
OWN_BASE = replace(POOLED, pk=2, name="shared-endpoint", component_scope="tenant", copies=1, instance_count=3)
DEDICATED = replace(POOLED, pk=3, name="dedicated", endpoint_scope="tenant", component_scope="tenant")
ADAPTER = AdapterFacts(9, "adv_1", "adp_1", "support", "s3://b/a.tar.gz")


def kinds(wishes):
    return [wish.kind for wish in wishes]


def test_lines_of_one_instance_type_share_an_endpoint_of_the_larger_size():
    wishes = wishes_for_pool([POOLED, OWN_BASE, DEDICATED])
    assert kinds(wishes) == ["endpoint_config", "endpoint", "model", "base_component"]
    assert wishes[0].identity["instance_count"] == 3
    assert wishes[3].settings == {"copies": 2}


def test_other_instance_types_and_regions_have_their_own():
    wishes = wishes_for_pool([POOLED, replace(POOLED, pk=4, name="big", instance_type="ml.g5.12xlarge")])
    assert kinds(wishes).count("endpoint") == 2
    assert len({wish.slot for wish in wishes}) == len(wishes)


def test_nobody_on_a_line_means_no_wish():
    assert wishes_for_pool([]) == []
    assert wishes_for_tenant(TenantFacts("ten_1", "acme", [])) == []


def test_what_each_line_gives_a_tenant():
    assert kinds(wishes_for_tenant(TenantFacts("ten_1", "acme", [POOLED]))) == []
    assert kinds(wishes_for_tenant(TenantFacts("ten_1", "acme", [OWN_BASE]))) == ["model", "base_component"]
    assert kinds(wishes_for_tenant(TenantFacts("ten_1", "acme", [DEDICATED]))) == [
        "endpoint_config", "endpoint", "model", "base_component",
    ]  # fmt: skip


def test_parents_come_first_and_every_reference_is_a_slot_of_the_plan():
    for line in (POOLED, OWN_BASE, DEDICATED):
        tenant = TenantFacts("ten_1", "acme", [line], [ADAPTER])
        known: set[str] = set()
        for wish in [*wishes_for_pool([line]), *wishes_for_tenant(tenant)]:
            assert wish.needs <= known
            known.add(wish.slot)
        assert set(foundation_slots("ten_1", [line])) <= known


def test_two_versions_stand_side_by_side():
    second = replace(ADAPTER, version_id=10, version_ref="adv_2")
    wishes = wishes_for_tenant(TenantFacts("ten_1", "acme", [POOLED], [ADAPTER, second]))
    assert len({wish.slot for wish in wishes}) == 2


def test_another_tenant_shares_no_slot():
    one = wishes_for_tenant(TenantFacts("ten_1", "acme", [DEDICATED], [ADAPTER]))
    two = wishes_for_tenant(TenantFacts("ten_2", "acme", [DEDICATED], [ADAPTER]))
    assert not {wish.slot for wish in one} & {wish.slot for wish in two}
