"""IAM documents: what a tenant's data plane may do, and what the roles of another account trust and may do. Pure.

A tenant's policy is the same text for every tenant of a place; who is who comes from the session tag `TenantId`, so
nothing has to be changed when an adapter is released. A tag is compared whole, where a name's beginning would let
`acme` in where `acme-2` lives.
"""

from collections.abc import Mapping, Sequence
from typing import Any

VERSION = "2012-10-17"
TENANT_TAG = "TenantId"
OWN_TAG = "aws:ResourceTag/cp:tenant"
ME = f"${{aws:PrincipalTag/{TENANT_TAG}}}"
INVOKE = ["sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream"]
# Converse and ConverseStream are allowed by these.
CONVERSE = ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"]
MANAGED = ("model", "endpoint-config", "endpoint", "inference-component", "model-package-group", "model-package")

Policy = dict[str, Any]


def tenant_policy(*, account: str, regions: Sequence[str], install: str, bucket: str, shared: bool) -> Policy:
    """What the data plane of a tenant may do, in a session that carries its id as the tag `TenantId`.

    Its own prefix of the bucket, and its own inference components. `shared`: its endpoints are shared with others, so
    reaching them is not limited to its own; the components on them are. Whoever may invoke a base component can name
    any adapter on it, so bases that are not the tenant's own are denied whatever another policy allows. Models of
    Bedrock are reached through its own inference profile only, because AWS counts a tenant's tokens by that.
    """
    components = _arns(account, regions, "inference-component", f"{install}-*")
    bases = _arns(account, regions, "inference-component", f"{install}-base-*")
    endpoints = _arns(account, regions, "endpoint", f"{install}-endpoint-*")
    is_own = {"StringEquals": {OWN_TAG: ME}}
    statements = [
        _allow("OwnArtifacts", ["s3:GetObject", "s3:PutObject"], [f"arn:aws:s3:::{bucket}/tenants/{ME}/*"]),
        _allow(
            "ListOwnArtifacts",
            ["s3:ListBucket"],
            [f"arn:aws:s3:::{bucket}"],
            {"StringLike": {"s3:prefix": f"tenants/{ME}/*"}},
        ),
        _allow("Endpoints", INVOKE, endpoints, None if shared else is_own),
        _allow("OwnComponents", INVOKE, components, is_own),
        _deny("NobodyElsesBase", INVOKE, bases, {"StringNotEquals": {OWN_TAG: ME}}),
        *_converse(account, is_own),
    ]
    return {"Version": VERSION, "Statement": statements}


def control_trust(*, our_account: str, external_id: str) -> Policy:
    """Whom the role that we assume has to trust: our account, with the external id that only we send."""
    return {
        "Version": VERSION,
        "Statement": [
            {
                "Sid": "ControlPlane",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{our_account}:root"},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"sts:ExternalId": external_id}},
            }
        ],
    }


def control_policy(
    *, account: str, regions: Sequence[str], install: str, buckets: Sequence[str], execution_role_arn: str
) -> Policy:
    """What the role that we assume needs: objects with our names or tags, copies of artifacts, quotas, metrics, and to
    ask what serves; and nothing else. Inference profiles have ids of AWS's own choice, so they are told by their tag.
    """
    objects = [arn for kind in MANAGED for arn in _arns(account, regions, kind, f"{install}-*")]
    changes = ["Create", "Delete", "Describe"]
    of_kinds = ["Model", "EndpointConfig", "Endpoint", "InferenceComponent", "ModelPackageGroup", "ModelPackage"]
    actions = [f"sagemaker:{verb}{kind}" for kind in of_kinds for verb in changes]
    actions += [f"sagemaker:Update{what}" for what in ("Endpoint", "InferenceComponentRuntimeConfig", "ModelPackage")]
    actions += ["sagemaker:AddTags", "sagemaker:ListTags", *INVOKE]
    lists = [f"sagemaker:List{kind}s" for kind in of_kinds]
    look = ["servicequotas:ListServiceQuotas", "cloudwatch:GetMetricData", "cloudwatch:ListMetrics"]
    profiles = ["bedrock:DeleteInferenceProfile", "bedrock:GetInferenceProfile", "bedrock:ListTagsForResource"]
    applications = [_application_profiles(account)]
    is_ours = {"StringEquals": {"aws:ResourceTag/cp:install": install}}
    arns = [f"arn:aws:s3:::{bucket}" for bucket in buckets]
    return {
        "Version": VERSION,
        "Statement": [
            _allow("OurObjects", actions, objects),
            _allow("Look", [*lists, "bedrock:ListInferenceProfiles", *look], ["*"]),
            _allow(
                "MakeProfiles",
                ["bedrock:CreateInferenceProfile", "bedrock:TagResource"],
                applications,
                {"StringEquals": {"aws:RequestTag/cp:install": install}},
            ),
            _allow("OurProfiles", profiles, applications, is_ours),
            _allow("CopyModels", ["bedrock:CreateInferenceProfile", "bedrock:GetInferenceProfile"], _models(account)),
            *_converse(account, is_ours),
            _allow(
                "OurBuckets",
                ["s3:CreateBucket", "s3:PutBucketPublicAccessBlock", "s3:ListBucket", "s3:ListBucketVersions"],
                arns,
            ),
            _allow(
                "CopiesOfArtifacts",
                ["s3:PutObject", "s3:GetObject", "s3:DeleteObject", "s3:DeleteObjectVersion"],
                [f"{arn}/*" for arn in arns],
            ),
            _allow(
                "PassExecutionRole",
                ["iam:PassRole"],
                [execution_role_arn],
                {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
            ),
        ],
    }


def execution_trust() -> Policy:
    """Whom the role that containers run with has to trust."""
    statement = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    return {"Version": VERSION, "Statement": [statement]}


def execution_policy(*, buckets: Sequence[str], weights: Sequence[str]) -> Policy:
    """What containers need: the copies of artifacts, the weights of the base models, the image, and a log.

    `weights` are the S3 URIs of base models; those in our bucket need our bucket's policy too (`weights_policy`).
    """
    copies = [f"arn:aws:s3:::{bucket}" for bucket in buckets]
    found = [uri.removeprefix("s3://") for uri in weights]
    places = sorted({f"arn:aws:s3:::{place.partition('/')[0]}" for place in found})
    return {
        "Version": VERSION,
        "Statement": [
            _allow("ReadArtifacts", ["s3:GetObject"], [f"{arn}/*" for arn in copies]),
            _allow("ReadWeights", ["s3:GetObject"], [f"arn:aws:s3:::{place.rstrip('/')}*" for place in found]),
            _allow("ListBuckets", ["s3:ListBucket"], [*copies, *places]),
            _allow(
                "PullImage",
                ["ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                ["*"],
            ),
            _allow(
                "Observe",
                ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "cloudwatch:PutMetricData"],
                ["*"],
            ),
        ],
    }


def weights_policy(*, bucket: str, execution_role_arns: Sequence[str]) -> Policy:
    """The bucket policy with which containers in other accounts read our base models, and nothing else there."""
    principal = {"AWS": list(execution_role_arns)}
    read = _allow("ReadBaseModels", ["s3:GetObject"], [f"arn:aws:s3:::{bucket}/base-models/*"])
    look = _allow(
        "ListBaseModels", ["s3:ListBucket"], [f"arn:aws:s3:::{bucket}"], {"StringLike": {"s3:prefix": "base-models/*"}}
    )
    return {"Version": VERSION, "Statement": [{**each, "Principal": principal} for each in (read, look)]}


def _converse(account: str, condition: Mapping[str, Any]) -> list[Policy]:
    """Converse through inference profiles of a condition, and with models only through a profile of the account.

    A request through a profile is checked for the profile and for each model that it may lead to.
    """
    through = {"StringLike": {"bedrock:InferenceProfileArn": _application_profiles(account)}}
    return [
        _allow("OwnProfiles", CONVERSE, [_application_profiles(account)], condition),
        _allow("ModelsThroughProfiles", CONVERSE, _models(account), through),
    ]


def _application_profiles(account: str) -> str:
    return f"arn:aws:bedrock:*:{account}:application-inference-profile/*"


def _models(account: str) -> list[str]:
    """Foundation models, and the system-defined profiles that spread over a geography."""
    return ["arn:aws:bedrock:*::foundation-model/*", f"arn:aws:bedrock:*:{account}:inference-profile/*"]


def _arns(account: str, regions: Sequence[str], kind: str, pattern: str) -> list[str]:
    return [f"arn:aws:sagemaker:{region}:{account}:{kind}/{pattern}" for region in regions]


def _allow(
    sid: str, actions: Sequence[str], resources: Sequence[str], condition: Mapping[str, Any] | None = None
) -> Policy:
    return _statement(sid, "Allow", actions, resources, condition)


def _deny(sid: str, actions: Sequence[str], resources: Sequence[str], condition: Mapping[str, Any]) -> Policy:
    return _statement(sid, "Deny", actions, resources, condition)


def _statement(
    sid: str, effect: str, actions: Sequence[str], resources: Sequence[str], condition: Mapping[str, Any] | None
) -> Policy:
    said: Policy = {"Sid": sid, "Effect": effect, "Action": list(actions), "Resource": list(resources)}
    return {**said, "Condition": dict(condition)} if condition else said
