"""Accounts and regions: each is read by itself, so that one that cannot be read holds up nobody else."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import boto3

from metering import queries
from metering.models import Enrolment, MeteringScope, UsageBucket
from metering.services.collection import collect_usage
from provisioning.models import AwsAccount, ManagedResource, PublishedConfig, ServingLine
from tests.integration.metering.meterage import NAMESPACE, Meterage

if TYPE_CHECKING:
    from tenants.models import Tenant

SONNET = "arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-3-5-sonnet-20241022-v2:0"
FOREIGN = "222222222222"


def profile(tenant: Tenant, line: ServingLine, arn: str, *, account: str, name: str) -> ManagedResource:
    """The books' row of an inference profile."""
    return ManagedResource.objects.create(
        tenant=tenant, line=line, kind="inference_profile", slot=f"{tenant.public_id}/{name}", slug="x", arn=arn,
        account=account, region="us-west-2", name=name, incarnation=1, identity={}, identity_digest=name, digest="d",
    )  # fmt: skip


def api_line() -> ServingLine:
    from core.actors import SYSTEM
    from provisioning.services.catalogue import seed_catalogue

    seed_catalogue(actor=SYSTEM)
    return ServingLine.objects.order_by("pk").first() or ServingLine()


def converse(name: str, prompt: str, tokens: int) -> tuple[str, int]:
    """Make a profile and talk through it; its ARN and the tokens that went in."""
    control: Any = boto3.client("bedrock")
    arn = control.create_inference_profile(inferenceProfileName=name, modelSource={"copyFrom": SONNET})
    runtime: Any = boto3.client("bedrock-runtime")
    reply = runtime.converse(
        modelId=arn["inferenceProfileArn"],
        messages=[{"role": "user", "content": [{"text": prompt}]}],
        inferenceConfig={"maxTokens": tokens},
        additionalModelRequestFields={"ignore_eos": True},
    )
    return str(arn["inferenceProfileArn"]), int(reply["usage"]["inputTokens"])


def test_both_lines_of_a_tenant_are_counted_and_a_profile_is_its_owners_only(meterage: Meterage) -> None:
    tenant, other = meterage.tenant(), meterage.tenant()
    line = api_line()
    meterage.move_to(meterage.after(minutes=20))
    meterage.aws.post("inference", {"cache_read_words": 2, "cache_write_words": 1})
    mine, tokens_in = converse("mine", "one two three four", 9)
    theirs, _ = converse("theirs", "one", 5)
    account = mine.split(":")[4]
    profile(tenant, line, mine, account=account, name="mine")
    profile(other, line, theirs, account=account, name="theirs")
    meterage.put(tenant, 100, meterage.after(minutes=10))
    meterage.collect(meterage.after(hours=2))
    assert meterage.total(tenant) == 100 + tokens_in == 101, "of four words two were read from a cache, one written"
    assert (meterage.total(tenant, "cached_input_tokens"), meterage.total(other, "cached_input_tokens")) == (2, 1)
    assert (meterage.total(tenant, "cache_write_input_tokens"), meterage.total(other, "cache_write_input_tokens")) == (
        1, 0,
    )  # fmt: skip
    assert (meterage.total(tenant, "output_tokens"), meterage.total(other, "output_tokens")) == (9, 5)
    assert meterage.total(tenant, "requests") == 1
    counted = UsageBucket.objects.get(tenant=tenant, meter="output_tokens")
    [shown] = queries.buckets(
        tenant_ids=[tenant.pk], start=meterage.start, end=meterage.after(hours=1), meter="output_tokens"
    )
    assert (counted.line, counted.adapter_version) == (line.name, "base")
    assert shown.query == f"us-west-2 AWS/Bedrock OutputTokenCount{{ModelId={mine.rpartition('/')[2]}}} Sum/3600s"


def test_another_region_has_a_scope_of_its_own(meterage: Meterage) -> None:
    tenant, stays = meterage.tenant(), meterage.tenant()
    meterage.collect(meterage.after(hours=1.5))
    config = tenant.published_configs.get()
    document = config.document | {"region": "eu-central-1"}
    PublishedConfig.objects.create(tenant=tenant, version=2, document=document)
    far: Any = boto3.client("cloudwatch", region_name="eu-central-1")
    at = meterage.after(hours=1, minutes=40)
    datum = {
        "MetricName": "InputTokens", "Timestamp": at, "Value": 7.0, "Unit": "Count",
        "Dimensions": [
            {"Name": "TenantId", "Value": tenant.public_id},
            {"Name": "AdapterVersion", "Value": "base"},
            {"Name": "Line", "Value": "pooled"},
        ],
    }  # fmt: skip
    meterage.move_to(at + timedelta(minutes=5))
    far.put_metric_data(Namespace=NAMESPACE, MetricData=[datum])
    meterage.put(tenant, 5, at)
    meterage.collect(meterage.after(hours=3))
    assert {(scope.account, scope.region) for scope in MeteringScope.objects.all()} == {
        ("", "us-west-2"), ("", "eu-central-1"),
    }  # fmt: skip
    assert meterage.total(tenant) == 12
    assert Enrolment.objects.filter(tenant=stays).count() == 1
    assert json.dumps(sorted(UsageBucket.objects.filter(tenant=tenant).values_list("source", flat=True))) == json.dumps(
        [f"cloudwatch:eu-central-1:{NAMESPACE}", f"cloudwatch:us-west-2:{NAMESPACE}"]
    )


def test_an_account_that_cannot_be_entered_holds_up_only_itself(meterage: Meterage) -> None:
    tenant, other = meterage.tenant(), meterage.tenant()
    line = api_line()
    AwsAccount.objects.create(
        kind="split", tenant=tenant, account_id=FOREIGN, regions=["us-west-2"], external_id="x" * 32,
        role_arn=f"arn:aws:iam::{FOREIGN}:role/nobody", execution_role_arn=f"arn:aws:iam::{FOREIGN}:role/x",
    )  # fmt: skip
    arn = f"arn:aws:bedrock:us-west-2:{FOREIGN}:application-inference-profile/p1"
    profile(tenant, line, arn, account=FOREIGN, name="far")
    meterage.move_to(meterage.after(minutes=20))
    for each in (tenant, other):
        meterage.put(each, 100, meterage.after(minutes=10))
    report = meterage.collect(meterage.after(hours=2))
    assert (meterage.total(tenant), meterage.total(other)) == (100, 100)
    assert report.windows_unread
    [refused] = [scope for scope in queries.freshness() if scope.account == FOREIGN]
    assert refused.problem
    meterage.settle(meterage.after(hours=24))
    collect_usage()
    unsettled = queries.unsettled(tenant_ids=[tenant.pk, other.pk], start=meterage.start, end=meterage.after(hours=24))
    assert {gap.tenant_id for gap in unsettled} == {tenant.pk}
