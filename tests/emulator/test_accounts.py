"""Accounts: who is let in, what is seen there, whose bucket is read, and quotas per account and region."""

from typing import Any

import pytest

from aws_emulator.identity import trusts
from tests.emulator.conftest import AT_ONCE, Aws, refusal

OTHER, THIRD = "222222222222", "333333333333"
ROLE_ARN = f"arn:aws:iam::{OTHER}:role/cp"


def keys_of(aws: Aws, **arguments: Any) -> dict[str, str]:
    granted = aws.sts.assume_role(RoleArn=ROLE_ARN, RoleSessionName="test", **arguments)["Credentials"]
    return {
        "aws_access_key_id": granted["AccessKeyId"],
        "aws_secret_access_key": granted["SecretAccessKey"],
        "aws_session_token": granted["SessionToken"],
    }


@pytest.mark.parametrize("arguments", [{}, {"ExternalId": "wrong"}])
def test_a_role_with_an_external_id_lets_nobody_in_without_it(aws: Aws, arguments: dict[str, str]) -> None:
    aws.let_in(OTHER, "cp", "right")
    code, message = refusal(aws.sts.assume_role, RoleArn=ROLE_ARN, RoleSessionName="test", **arguments)
    assert (code, "sts:AssumeRole" in message) == ("AccessDenied", True)
    keys = keys_of(aws, ExternalId="right")
    assert aws.client("sts", **keys).get_caller_identity()["Account"] == OTHER


def test_a_role_that_is_not_there_looks_like_one_that_refuses(aws: Aws) -> None:
    code, _ = refusal(aws.sts.assume_role, RoleArn=ROLE_ARN, RoleSessionName="test", ExternalId="right")
    assert code == "AccessDenied"


def test_a_deleted_role_takes_its_sessions_along_and_a_new_one_does_not_revive_them(aws: Aws) -> None:
    aws.let_in(OTHER, "cp", "right")
    sagemaker = aws.client("sagemaker", **keys_of(aws, ExternalId="right"))
    s3 = aws.client("s3", **keys_of(aws, ExternalId="right"))
    assert sagemaker.list_models()["Models"] == []
    aws.control("roles", {"account": OTHER, "role": "cp"}, method="DELETE")
    assert refusal(sagemaker.list_models)[0] == "UnrecognizedClientException"
    assert refusal(s3.list_buckets)[0] == "InvalidAccessKeyId"
    aws.let_in(OTHER, "cp", "right")
    assert refusal(sagemaker.list_models)[0] == "UnrecognizedClientException"
    assert aws.client("sagemaker", **keys_of(aws, ExternalId="right")).list_models()["Models"] == []


def test_sessions_end(aws: Aws) -> None:
    aws.let_in(OTHER, "cp", "right")
    keys = keys_of(aws, ExternalId="right")
    assert aws.control("sessions", {"account": OTHER})["ended"] >= 1
    assert refusal(aws.client("sagemaker", **keys).list_models)[0] == "ExpiredTokenException"
    assert refusal(aws.client("sts", **keys).get_caller_identity)[0] == "ExpiredToken"


def test_buckets_of_another_account_are_closed(aws: Aws) -> None:
    aws.let_in(OTHER, "cp", "right")
    aws.s3.create_bucket(Bucket="ours", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    aws.s3.put_object(Bucket="ours", Key="key", Body=b"bytes")
    s3 = aws.client("s3", **keys_of(aws, ExternalId="right"))
    assert refusal(s3.get_object, Bucket="ours", Key="key")[0] == "AccessDenied"
    assert refusal(s3.put_object, Bucket="ours", Key="key", Body=b"x")[0] == "AccessDenied"


def test_quotas_are_those_of_the_account_and_the_region(aws: Aws) -> None:
    aws.control("delays", AT_ONCE)
    aws.control("quotas", {"ml.g5.2xlarge": 3})
    aws.control("quotas", {"account": "123456789012", "region": "us-west-2", "ml.g5.2xlarge": 0})
    assert limits(aws.client("service-quotas"))["ml.g5.2xlarge"] == 0
    assert limits(aws.client("service-quotas", region_name="us-east-1"))["ml.g5.2xlarge"] == 3
    assert limits(aws.client("service-quotas"))["ml.g5.xlarge"] == 1000
    aws.make_config()
    code, message = refusal(aws.sm.create_endpoint, EndpointName="endpoint", EndpointConfigName="config")
    assert (code, "is 0 Instances" in message) == ("ResourceLimitExceeded", True)


def test_a_role_is_made_with_an_account_and_a_trust_policy(aws: Aws) -> None:
    assert "12 digits" in aws.control_refusal("roles", {"account": "1", "role": "cp", "trust_policy": {}})
    assert "trust_policy" in aws.control_refusal("roles", {"account": OTHER, "role": "cp"})


def limits(client: Any) -> dict[str, int]:
    pages = client.get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
    suffix = " for endpoint usage"
    return {quota["QuotaName"].removesuffix(suffix): int(quota["Value"]) for page in pages for quota in page["Quotas"]}


@pytest.mark.parametrize(
    ("statement", "external_id", "lets_in"),
    [
        ({}, None, True),
        ({"Principal": {"AWS": THIRD}}, None, False),
        ({"Principal": "*"}, None, True),
        ({"Action": "sts:*"}, None, True),
        ({"Action": "sts:TagSession"}, None, False),
        ({"Effect": "Deny"}, None, False),
        ({"Condition": {"StringEquals": {"sts:ExternalId": ["a", "b"]}}}, "b", True),
        ({"Condition": {"StringEquals": {"sts:ExternalId": "a"}}}, None, False),
        ({"Condition": {"StringLike": {"sts:ExternalId": "*"}}}, "a", False),
    ],
)
def test_what_a_trust_policy_demands(statement: dict[str, Any], external_id: str | None, lets_in: bool) -> None:
    basis = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"}, "Action": "sts:AssumeRole"}
    assert trusts({"Statement": [basis | statement]}, OTHER, external_id) is lets_in
