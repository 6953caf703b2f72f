"""List answers come in pages and through filters; tags are overwritten, not doubled."""

from datetime import timedelta
from typing import Any

import pytest

from tests.emulator.conftest import AT_ONCE, Aws, at, refusal


def names(rows: list[dict[str, Any]], member: str) -> list[str]:
    return [row[member] for row in rows]


def test_pages_are_walked_to_the_last_without_loss_or_repeat(aws: Aws) -> None:
    made = [f"model-{number:02}" for number in range(25)]
    for name in made:
        aws.make_model(name)
    first = aws.sm.list_models()
    assert (len(first["Models"]), "NextToken" in first) == (10, True)
    pages = aws.sm.get_paginator("list_models").paginate(PaginationConfig={"PageSize": 7}, SortBy="Name")
    seen = [names(page["Models"], "ModelName") for page in pages]
    assert [len(page) for page in seen] == [7, 7, 7, 4]
    assert [name for page in seen for name in page] == sorted(made, reverse=True)


def test_what_goes_between_two_pages_makes_nothing_else_missing(aws: Aws) -> None:
    for number in range(6):
        aws.make_model(f"model-{number}")
    order = {"SortBy": "Name", "SortOrder": "Ascending", "MaxResults": 3}
    first = aws.sm.list_models(**order)
    aws.sm.delete_model(ModelName="model-0")
    aws.sm.delete_model(ModelName="model-2")
    second = aws.sm.list_models(**order, NextToken=first["NextToken"])
    assert names(second["Models"], "ModelName") == ["model-3", "model-4", "model-5"]


def test_a_token_of_another_order_is_refused(aws: Aws) -> None:
    for number in range(3):
        aws.make_model(f"model-{number}")
    token = aws.sm.list_models(MaxResults=1)["NextToken"]
    assert refusal(aws.sm.list_models, SortBy="Name", NextToken=token)[0] == "ValidationException"


def test_the_newest_comes_first_unless_told_otherwise(aws: Aws) -> None:
    for name in ("b", "c", "a"):
        aws.make_model(name)
    assert names(aws.sm.list_models()["Models"], "ModelName") == ["a", "c", "b"]
    assert names(aws.sm.list_models(SortOrder="Ascending")["Models"], "ModelName") == ["b", "c", "a"]
    assert names(aws.sm.list_models(SortBy="Name", SortOrder="Ascending")["Models"], "ModelName") == ["a", "b", "c"]


def test_lists_filter_by_name_status_endpoint_and_time(stage: Aws) -> None:
    stage.make_endpoint("second")
    stage.make_base("other", endpoint="second")
    stage.control("delays", {"component": {"seconds": 900}})
    stage.make_adapter("adapter-one")
    found = stage.sm.list_inference_components

    def listed(**filters: Any) -> list[str]:
        return sorted(names(found(**filters)["InferenceComponents"], "InferenceComponentName"))

    assert listed(NameContains="one") == ["adapter-one"]
    assert listed(EndpointNameEquals="endpoint") == ["adapter-one", "base"]
    assert listed(StatusEquals="InService") == ["base", "other"]
    assert listed(VariantNameEquals="none") == []
    assert listed(CreationTimeAfter=at(stage.now()) + timedelta(seconds=5)) == []
    assert listed(CreationTimeBefore=at(stage.now()) + timedelta(seconds=5)) == ["adapter-one", "base", "other"]


def test_a_row_that_the_filter_hides_is_not_looked_at(aws: Aws) -> None:
    aws.control("delays", {"endpoint": {"looks": 1}})
    aws.make_endpoint()
    for _ in range(3):
        assert aws.sm.list_endpoints(StatusEquals="InService")["Endpoints"] == []
    assert (aws.endpoint_status(), aws.endpoint_status()) == ("Creating", "InService")


@pytest.mark.parametrize("kind", ["model", "endpoint-config", "endpoint", "inference-component"])
def test_every_kind_carries_tags_and_the_same_key_overwrites(aws: Aws, kind: str) -> None:
    aws.control("delays", AT_ONCE)
    aws.make_model()
    aws.make_endpoint()
    aws.make_base()
    name = {"model": "model", "endpoint-config": "config", "endpoint": "endpoint", "inference-component": "base"}[kind]
    arn = f"arn:aws:sagemaker:us-west-2:123456789012:{kind}/{name}"
    aws.sm.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    aws.sm.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "3"}])
    aws.sm.delete_tags(ResourceArn=arn, TagKeys=["b", "never-there"])
    assert aws.sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "3"}]


def test_tags_given_at_creation_are_listed_and_limited_to_fifty(aws: Aws) -> None:
    tags = [{"Key": f"key-{number}", "Value": "v"} for number in range(50)]
    arn = aws.sm.create_model(ModelName="model", PrimaryContainer={"Image": "vllm"}, Tags=tags)["ModelArn"]
    assert aws.sm.list_tags(ResourceArn=arn)["Tags"] == tags
    code, _ = refusal(aws.sm.add_tags, ResourceArn=arn, Tags=[{"Key": "one-more", "Value": ""}])
    assert code == "ResourceLimitExceeded"
    assert aws.sm.list_tags(ResourceArn=arn)["Tags"] == tags


def test_accounts_and_regions_do_not_see_each_other(aws: Aws) -> None:
    aws.make_model()
    aws.let_in("222222222222", "tenant")
    role = aws.sts.assume_role(RoleArn="arn:aws:iam::222222222222:role/tenant", RoleSessionName="session")
    keys = role["Credentials"]
    options = {
        "aws_access_key_id": keys["AccessKeyId"],
        "aws_secret_access_key": keys["SecretAccessKey"],
        "aws_session_token": keys["SessionToken"],
    }
    other = aws.client("sagemaker", **options)
    assert other.list_models()["Models"] == []
    arn = other.create_model(ModelName="model", PrimaryContainer={"Image": "vllm"})["ModelArn"]
    assert arn == "arn:aws:sagemaker:us-west-2:222222222222:model/model"
    assert aws.client("sagemaker", region_name="eu-west-1").list_models()["Models"] == []
    assert len(aws.sm.list_models()["Models"]) == 1
    assert aws.sts.get_caller_identity()["Account"] == "123456789012"
