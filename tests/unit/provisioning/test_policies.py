"""Generated policies against a table of decisions written by hand; and the tests' evaluator against AWS's examples."""

import json

import pytest

from provisioning import policies
from tests.support.iam import decide

ACCOUNT, REGION, BUCKET = "123456789012", "us-west-2", "artifacts"
ME, OTHER = "ten_a", "ten_ab"  # one id begins like the other
INVOKE, STREAM = "sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream"


def component(name: str) -> str:
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:inference-component/{name}"


def endpoint(name: str) -> str:
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/{name}"


POLICY = policies.tenant_policy(account=ACCOUNT, regions=[REGION], install="local", bucket=BUCKET, shared=True)
ALONE = policies.tenant_policy(account=ACCOUNT, regions=[REGION], install="local", bucket=BUCKET, shared=False)
OWN_ADAPTER, OWN_BASE = component("local-adapter-acme-support-1234abcd-1"), component("local-base-acme-1234abcd-1")
POOL_BASE, OTHERS = component("local-base-pool-1234abcd-1"), component("local-adapter-acme-2-support-1234abcd-1")
OBJECT = f"arn:aws:s3:::{BUCKET}/tenants/"
CONVERSE, CONVERSE_STREAM = "bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"
PROFILE = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:application-inference-profile/a1b2c3"
SYSTEM_PROFILE = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/us.amazon.nova-lite-v1:0"
FOUNDATION = f"arn:aws:bedrock:{REGION}::foundation-model/amazon.nova-lite-v1:0"
# What AWS adds to the check of a model that a profile leads to ("bedrock:InferenceProfileArn" in the service
# authorization reference). The profile itself is checked beside it, by its own line of the table.
THROUGH = {"bedrock:InferenceProfileArn": PROFILE}

# action, resource, tag of the resource, further context, decision
TABLE = [
    (INVOKE, OWN_ADAPTER, ME, {}, "allow"),
    (STREAM, OWN_ADAPTER, ME, {}, "allow"),
    (INVOKE, OTHERS, OTHER, {}, "implicit"),
    (INVOKE, OTHERS, None, {}, "implicit"),
    (INVOKE, POOL_BASE, "pool", {}, "deny"),
    (STREAM, POOL_BASE, "pool", {}, "deny"),
    (INVOKE, POOL_BASE, None, {}, "deny"),
    (INVOKE, OWN_BASE, ME, {}, "allow"),
    (INVOKE, OWN_BASE, OTHER, {}, "deny"),
    (INVOKE, endpoint("local-endpoint-pool-1234abcd-1"), "pool", {}, "allow"),
    (INVOKE, endpoint("somebody-elses"), None, {}, "implicit"),
    ("sagemaker:DeleteInferenceComponent", OWN_ADAPTER, ME, {}, "implicit"),
    (INVOKE, OWN_ADAPTER.replace(REGION, "eu-west-1"), ME, {}, "implicit"),
    (INVOKE, OWN_ADAPTER.replace(ACCOUNT, "222222222222"), ME, {}, "implicit"),
    ("s3:GetObject", f"{OBJECT}{ME}/adapters/x.tar.gz", None, {}, "allow"),
    ("s3:PutObject", f"{OBJECT}{ME}/adapters/x.tar.gz", None, {}, "allow"),
    ("s3:GetObject", f"{OBJECT}{OTHER}/adapters/x.tar.gz", None, {}, "implicit"),
    ("s3:GetObject", f"{OBJECT}{ME}", None, {}, "implicit"),
    ("s3:DeleteObject", f"{OBJECT}{ME}/adapters/x.tar.gz", None, {}, "implicit"),
    ("s3:ListBucket", f"arn:aws:s3:::{BUCKET}", None, {"s3:prefix": f"tenants/{ME}/"}, "allow"),
    ("s3:ListBucket", f"arn:aws:s3:::{BUCKET}", None, {"s3:prefix": f"tenants/{OTHER}/"}, "implicit"),
    ("s3:ListBucket", f"arn:aws:s3:::{BUCKET}", None, {"s3:prefix": ""}, "implicit"),
    ("s3:ListBucket", f"arn:aws:s3:::{BUCKET}", None, {}, "implicit"),
    (CONVERSE, PROFILE, ME, {}, "allow"),
    (CONVERSE_STREAM, PROFILE, ME, {}, "allow"),
    (CONVERSE, PROFILE, OTHER, {}, "implicit"),
    (CONVERSE, PROFILE, None, {}, "implicit"),
    (CONVERSE, PROFILE.replace(ACCOUNT, "222222222222"), ME, {}, "implicit"),
    (CONVERSE, FOUNDATION, None, THROUGH, "allow"),
    (CONVERSE, FOUNDATION.replace(REGION, "us-east-1"), None, THROUGH, "allow"),  # a geography's other regions
    (CONVERSE, SYSTEM_PROFILE, None, THROUGH, "allow"),
    (CONVERSE, FOUNDATION, None, {}, "implicit"),
    (CONVERSE, SYSTEM_PROFILE, None, {}, "implicit"),
    (CONVERSE, FOUNDATION, None, {"bedrock:InferenceProfileArn": SYSTEM_PROFILE}, "implicit"),
    ("bedrock:DeleteInferenceProfile", PROFILE, ME, {}, "implicit"),
    ("sagemaker:DescribeModelPackage", f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model-package/local-x/1", ME, {},
     "implicit"),
]  # fmt: skip


def context(tag: str | None, more: dict[str, str], tenant: str | None = ME) -> dict[str, str]:
    found = {"aws:ResourceTag/cp:tenant": tag} if tag else {}
    return found | more | ({"aws:PrincipalTag/TenantId": tenant} if tenant else {})


@pytest.mark.parametrize(("action", "resource", "tag", "more", "decision"), TABLE)
def test_what_a_data_plane_may_do(action, resource, tag, more, decision):
    assert decide([POLICY], action, resource, context(tag, more)) == decision


@pytest.mark.parametrize(("action", "resource", "tag", "more", "decision"), TABLE)
def test_a_session_without_the_tag_reaches_nothing_of_any_tenant(action, resource, tag, more, decision):
    reached = decide([POLICY], action, resource, context(tag, more, tenant=None))
    # What is shared, and models whose profile is refused beside them.
    assert reached != "allow" or more == THROUGH or resource == endpoint("local-endpoint-pool-1234abcd-1")


def test_a_deny_on_the_base_wins_over_whatever_else_allows_it():
    anything = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    assert decide([POLICY, anything], INVOKE, POOL_BASE, context("pool", {})) == "deny"
    assert decide([ALONE, anything], INVOKE, OWN_BASE, context(OTHER, {})) == "deny"


def test_where_nothing_is_shared_an_endpoint_must_be_its_own_too():
    name = endpoint("local-endpoint-acme-1234abcd-1")
    assert decide([ALONE], INVOKE, name, context(ME, {})) == "allow"
    assert decide([ALONE], INVOKE, name, context(OTHER, {})) == "implicit"


def test_the_role_that_we_assume_touches_our_names_only_and_passes_one_role_to_one_service():
    execution = "arn:aws:iam::222222222222:role/containers"
    policy = policies.control_policy(
        account="222222222222", regions=[REGION], install="local", buckets=["copies"], execution_role_arn=execution
    )
    ours = "arn:aws:sagemaker:us-west-2:222222222222:endpoint/local-endpoint-acme-1"
    group = "arn:aws:sagemaker:us-west-2:222222222222:model-package-group/local-packages-acme-1"
    package = "arn:aws:sagemaker:us-west-2:222222222222:model-package/local-packages-acme-1/3"
    profile, system = PROFILE.replace(ACCOUNT, "222222222222"), SYSTEM_PROFILE.replace(ACCOUNT, "222222222222")
    to_sagemaker = {"iam:PassedToService": "sagemaker.amazonaws.com"}
    tagged, asked = {"aws:ResourceTag/cp:install": "local"}, {"aws:RequestTag/cp:install": "local"}
    table = [
        ("sagemaker:CreateModelPackageGroup", group, {}, "allow"),
        ("sagemaker:CreateModelPackage", package, {}, "allow"),
        ("sagemaker:UpdateModelPackage", package, {}, "allow"),
        ("sagemaker:DeleteModelPackage", package, {}, "allow"),
        ("sagemaker:ListModelPackages", "*", {}, "allow"),
        ("sagemaker:DeleteModelPackageGroup", group.replace("local-", "theirs-"), {}, "implicit"),
        ("bedrock:CreateInferenceProfile", profile, asked, "allow"),
        ("bedrock:TagResource", profile, asked, "allow"),
        ("bedrock:CreateInferenceProfile", profile, {}, "implicit"),
        ("bedrock:CreateInferenceProfile", profile, {"aws:RequestTag/cp:install": "other"}, "implicit"),
        ("bedrock:CreateInferenceProfile", FOUNDATION, {}, "allow"),
        ("bedrock:GetInferenceProfile", system, {}, "allow"),
        ("bedrock:ListInferenceProfiles", "*", {}, "allow"),
        ("bedrock:DeleteInferenceProfile", profile, tagged, "allow"),
        ("bedrock:ListTagsForResource", profile, tagged, "allow"),
        ("bedrock:DeleteInferenceProfile", profile, {}, "implicit"),
        ("bedrock:DeleteInferenceProfile", profile, {"aws:ResourceTag/cp:install": "other"}, "implicit"),
        (CONVERSE, profile, tagged, "allow"),
        (CONVERSE, profile, {}, "implicit"),
        (CONVERSE, FOUNDATION, {"bedrock:InferenceProfileArn": profile}, "allow"),
        (CONVERSE, FOUNDATION, {}, "implicit"),
        ("cloudwatch:GetMetricData", "*", {}, "allow"),
        ("cloudwatch:PutMetricData", "*", {}, "implicit"),
        ("sagemaker:DeleteEndpoint", ours, {}, "allow"),
        ("sagemaker:DeleteEndpoint", ours.replace("local-", "theirs-"), {}, "implicit"),
        ("sagemaker:ListEndpoints", "*", {}, "allow"),
        ("iam:PassRole", execution, to_sagemaker, "allow"),
        ("iam:PassRole", execution, {"iam:PassedToService": "ec2.amazonaws.com"}, "implicit"),
        ("iam:PassRole", execution.replace("containers", "admin"), to_sagemaker, "implicit"),
        ("s3:GetObject", "arn:aws:s3:::their-data/x", {}, "implicit"),
        ("s3:PutObject", "arn:aws:s3:::copies/x", {}, "allow"),
        ("iam:CreateUser", "*", {}, "implicit"),
    ]
    assert [decide([policy], action, resource, more) for action, resource, more, _ in table] == [
        decision for *_, decision in table
    ]


def test_policies_fit_into_what_iam_takes():
    assert len(json.dumps(POLICY, separators=(",", ":"))) <= 2048, "it also fits as a session policy"
    control = policies.control_policy(
        account=ACCOUNT, regions=[REGION, "eu-west-1"], install="controls", buckets=["b" * 60] * 2,
        execution_role_arn=f"arn:aws:iam::{ACCOUNT}:role/{'r' * 60}",
    )  # fmt: skip
    assert len(json.dumps(control, separators=(",", ":"))) <= 6144, "what a managed policy may hold"


# AWS's own examples: the IAM user guide on evaluation logic, on variables and tags, and on condition operators.
EXAMPLES = [
    # "An explicit deny in any policy overrides any allows."
    ([("Allow", "*", "*", {}), ("Deny", "s3:*", "*", {})], "s3:GetObject", "arn:aws:s3:::b/k", {}, "deny"),
    # "By default, all requests are implicitly denied."
    ([], "s3:GetObject", "arn:aws:s3:::b/k", {}, "implicit"),
    # Variables: each user has a home folder.
    ([("Allow", "s3:*", "arn:aws:s3:::b/${aws:username}/*", {})], "s3:GetObject", "arn:aws:s3:::b/bob/k",
     {"aws:username": "bob"}, "allow"),
    ([("Allow", "s3:*", "arn:aws:s3:::b/${aws:username}/*", {})], "s3:GetObject", "arn:aws:s3:::b/eve/k",
     {"aws:username": "bob"}, "implicit"),
    # Tags: the principal's tag must be the resource's.
    ([("Allow", "ec2:*", "*", {"StringEquals": {"aws:ResourceTag/p": "${aws:PrincipalTag/p}"}})], "ec2:StopInstances",
     "i", {"aws:ResourceTag/p": "x", "aws:PrincipalTag/p": "x"}, "allow"),
    # "If the key is not present, the values do not match" ...
    ([("Allow", "ec2:*", "*", {"StringEquals": {"k": "v"}})], "ec2:StopInstances", "i", {}, "implicit"),
    # ... and "negated matching operators return true when the key is not present".
    ([("Deny", "ec2:*", "*", {"StringNotEquals": {"k": "v"}})], "ec2:StopInstances", "i", {}, "deny"),
    # Actions are not case-sensitive, resources are.
    ([("Allow", "S3:getobject", "arn:aws:s3:::b/K", {})], "s3:GetObject", "arn:aws:s3:::b/K", {}, "allow"),
    ([("Allow", "s3:GetObject", "arn:aws:s3:::b/K", {})], "s3:GetObject", "arn:aws:s3:::b/k", {}, "implicit"),
]  # fmt: skip


@pytest.mark.parametrize(("statements", "action", "resource", "found", "decision"), EXAMPLES)
def test_the_evaluator_decides_as_aws_documents(statements, action, resource, found, decision):
    keys = ("Effect", "Action", "Resource", "Condition")
    policy = {"Statement": [dict(zip(keys, statement, strict=True)) for statement in statements]}
    assert decide([policy], action, resource, found) == decision
