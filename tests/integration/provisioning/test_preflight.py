"""The pre-flight: every reason at once, with its shortfall; bad input is refused before AWS is asked."""

import pytest

from models_registry.models import FoundationModel, ServingProfile
from provisioning.models import ManagedResource, Operation, ServingLine
from provisioning.services.operation_control import retry_operation
from provisioning.services.preflight import PreflightFailed, preflight, refuse_unfit, refuse_unready
from provisioning.services.preflight_fit import instances_needed
from tenants.queries import current_tier_version
from tests.factories import TESTER
from tests.integration.provisioning.elsewhere import give_account, lock_us_out, make_line, make_tier

QUIET = ("ListServiceQuotas", "AssumeRole", "ListEndpoints")


def failed(tier: str, tenant=None, regions=()):
    """The codes of what speaks against a tier, and the report."""
    version = current_tier_version(tier)
    report = preflight(tenant_id=tenant.pk if tenant else None, tier_version_id=version.pk, allowed_regions=regions)
    return [check.code for check in report.failed], report


def test_the_example_tiers_would_run(world):
    for tier in ("basic", "advanced", "premium"):
        assert failed(tier)[0] == []


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"instance_type": "ml.g5.nope"}, "unknown_instance", "catalogue"),
        ({"copies": 9}, "impossible_copies", "8 instances are missing"),
        ({"region": "eu-central-1"}, "region_outside_residency", "may run only in us-west-2"),
    ],
)
def test_bad_input_is_refused_before_aws_is_asked(world, changes, code, said):
    ServingLine.objects.filter(name="dedicated").update(**changes)
    before = [world.calls(operation) for operation in QUIET]
    with pytest.raises(PreflightFailed) as refused:
        refuse_unfit(tier_key="premium", allowed_regions=["us-west-2"])
    assert code in {error.code for error in refused.value.errors}
    assert said in refused.value.detail and refused.value.hint
    assert [world.calls(operation) for operation in QUIET] == before


def test_memory_accelerators_and_ranks_are_counted_as_the_planner_counts(world):
    profile = ServingProfile.objects.get()
    environment = profile.environment | {"OPTION_MAX_MODEL_LEN": "2048"}
    ServingProfile.objects.update(accelerators=2, max_lora_rank=16, environment=environment)
    codes, report = failed("premium")
    assert codes == ["impossible_copies", "adapter_rank_too_large"]
    assert "1 accelerators are missing" in report.summary and "48 ranks are missing" in report.summary
    base = FoundationModel.objects.get()
    large = {"num_hidden_layers": 80, "hidden_size": 8192, "intermediate_size": 28672, "head_dim": 128}
    base.config = base.config | large | {"num_attention_heads": 64, "num_key_value_heads": 8}
    base.save()
    ServingProfile.objects.update(accelerators=1, max_lora_rank=64)
    codes, report = failed("premium")
    assert codes == ["insufficient_memory"]
    assert "weights need" in report.summary and "are missing" in report.summary


def test_the_memory_of_the_host_is_counted_beside_that_of_the_accelerators(world):
    ServingProfile.objects.update(min_memory_mb=40_000)
    before = [world.calls(operation) for operation in QUIET]
    codes, report = failed("premium")
    assert codes == ["insufficient_host_memory"] and "7,232 MiB are missing on one instance" in report.summary
    assert "cheapest that would do in us-west-2 is ml.g6.4xlarge" in report.failed[0].what_to_do
    assert [world.calls(operation) for operation in QUIET] == before
    ServingProfile.objects.update(min_memory_mb=20_000)  # two copies do not share an instance
    ServingLine.objects.filter(name="dedicated").update(copies=3, instance_type="ml.g5.12xlarge")
    assert failed("premium")[0] == []
    ServingProfile.objects.update(min_memory_mb=100_000)
    codes, report = failed("premium")
    assert codes == ["insufficient_host_memory"] and "2 instances are missing" in report.summary
    ServingLine.objects.filter(name="dedicated").update(instance_type="ml.g7e.24xlarge")
    assert "not known, so it was not checked" in " ".join(check.detail for check in failed("premium")[1].checks)


def test_the_quota_is_that_of_account_and_region_with_what_is_in_use(world):
    first = world.sign_up("first", "premium")
    world.settle(first)
    world.aws.post("quotas", {"account": "123456789012", "region": "us-west-2", "ml.g5.2xlarge": 1})
    codes, report = failed("premium")
    assert codes == ["service_quota"]
    assert "1 in use and 1 more, and the quota is 1. 1 instances are missing." in report.summary
    second = world.sign_up("second", "premium")
    world.settle(second)
    assert second.state == "provisioning_failed" and "1 instances are missing" in second.state_reason
    assert not ManagedResource.objects.filter(tenant=second).exists(), "nothing was made"
    world.aws.post("quotas", {"account": "123456789012", "region": "us-west-2", "ml.g5.2xlarge": 2})
    retry_operation(operation_id=Operation.objects.get(tenant=second).pk, actor=TESTER)
    world.settle(second)
    assert second.state == "active"


def test_the_account_must_be_there_proven_enterable_and_meant_for_the_region(world):
    make_tier("split", "split")
    tenant = world.sign_up("acme", "split")
    assert failed("split", tenant)[0] == ["account_missing"]
    assert failed("split")[0] == [], "nobody can register an account for who is not signed up"
    account = give_account(world, tenant)
    assert failed("split", tenant)[0] == []
    lock_us_out(world, account)
    codes, report = failed("split", tenant)
    assert codes == ["role_not_assumable"] and "AssumeRole" in report.summary
    make_line("far", "us-east-1")
    make_tier("far", "split", "far")
    assert failed("far", tenant)[0] == ["region_not_in_account"]
    with pytest.raises(PreflightFailed, match="not for us-east-1"):
        refuse_unready(failed("far", tenant)[1])


@pytest.mark.parametrize(
    ("copies", "accelerators", "instances"), [([], 4, 0), ([1] * 4, 4, 1), ([4, 1], 4, 2), ([2, 3, 2, 1], 4, 2)]
)
def test_copies_are_packed_whole(copies, accelerators, instances):
    assert instances_needed(copies, accelerators) == instances
