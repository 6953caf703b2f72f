"""Where the other rooms get their gateways.

Clients are kept per process, account and region. Real AWS (no `AWS_ENDPOINT_URL`) is touched only when
`AWS_EXPECTED_ACCOUNT_ID` names the account that the credentials belong to.
"""

import os
from dataclasses import replace
from functools import cache

from django.conf import settings

from aws import errors
from aws.boto.artifacts import BotoArtifacts
from aws.boto.config_store import BotoConfigStore
from aws.boto.hosting import BotoHosting
from aws.boto.inference import BotoInference
from aws.boto.limit_store import BotoLimitStore
from aws.boto.metrics import BotoMetrics
from aws.boto.multipart import BotoMultipart
from aws.boto.quotas import BotoQuotas
from aws.boto.roles import enter as boto_enter
from aws.boto.session import AwsAccess, Clients
from aws.boto.translate import call, request_id
from aws.gateway import (
    ArtifactStore,
    ConfigStore,
    HostingGateway,
    InferenceGateway,
    LimitStore,
    MetricsGateway,
    QuotaGateway,
)
from aws.multipart import MultipartStore
from aws.roles import Entry, Role


def hosting(region: str | None = None, *, role: Role | None = None) -> HostingGateway:
    """SageMaker hosting in a region (default: the home region)."""
    return BotoHosting(_client("sagemaker", region, role=role), lambda: _client("bedrock", region, role=role))


def inference(region: str | None = None, *, role: Role | None = None) -> InferenceGateway:
    """SageMaker invocation in a region (default: the home region) of our account, or of the role's."""
    return BotoInference(_client("sagemaker-runtime", region, role=role))


def quotas(region: str | None = None, *, role: Role | None = None) -> QuotaGateway:
    """Service Quotas of a region (default: the home region) of our account, or of the role's."""
    return BotoQuotas(_client("service-quotas", region, role=role))


def enter(role_arn: str, external_id: str | None) -> Entry:
    """Try a role: where it leads. Raises AccessLost when AWS refuses it, which a proof may be looking for."""
    account_id()
    clients = _clients(_access())
    return boto_enter(clients.client("sts"), role_arn, external_id, lambda granted: clients.client_with("sts", granted))


def metrics(region: str | None = None, *, role: Role | None = None) -> MetricsGateway:
    """CloudWatch of a region (default: the home region) of our account, or of the role's."""
    return BotoMetrics(_client("cloudwatch", region, role=role, epoch_timestamps=True))


def artifacts() -> ArtifactStore:
    """The artifact bucket."""
    return BotoArtifacts(_client("s3"), settings.ENV.artifact_bucket)


def copies(region: str, bucket: str, *, role: Role | None = None) -> ArtifactStore:
    """A bucket for copies of artifacts in a region of our account, or of the role's."""
    return BotoArtifacts(_client("s3", region, role=role), bucket)


def multipart() -> MultipartStore:
    """Uploads in parts into the artifact bucket."""
    return BotoMultipart(_client("s3"), settings.ENV.artifact_bucket)


def config_store() -> ConfigStore:
    """The runtime config table."""
    return BotoConfigStore(_client("dynamodb"), settings.ENV.config_table)


def limit_store() -> LimitStore:
    """The limits table, with little patience: requests and pages wait for it."""
    account_id()
    access = replace(_access(), read_timeout_seconds=min(2.0, settings.ENV.aws_timeout_seconds))
    return BotoLimitStore(_clients(access).client("dynamodb"), settings.ENV.limits_table)


def account_id() -> str:
    """The account that the credentials belong to, asked once per process.

    Raises AccessDenied when real AWS is another account than `AWS_EXPECTED_ACCOUNT_ID`, or none is named.
    """
    return _account_of(os.getpid(), _access())


def _client(
    service: str, region: str | None = None, *, role: Role | None = None, epoch_timestamps: bool = False
) -> object:
    account_id()
    return _clients(_access()).client(service, region, role=role, epoch_timestamps=epoch_timestamps)


def _access() -> AwsAccess:
    return AwsAccess(
        region=settings.ENV.aws_region,
        read_timeout_seconds=settings.ENV.aws_timeout_seconds,
        endpoint_url=settings.ENV.aws_endpoint_url,
    )


@cache
def _clients(access: AwsAccess) -> Clients:
    return Clients(access)


@cache
def _account_of(process_id: int, access: AwsAccess) -> str:
    client = _clients(access).client("sts")
    reply = call(client.get_caller_identity, "GetCallerIdentity", "Account")
    account = str(reply["Account"])
    if access.endpoint_url is None and account != settings.ENV.aws_expected_account_id:
        raise errors.AccessDenied(
            code="UnexpectedAccount",
            message=f"the credentials belong to account {account}, "
            f"AWS_EXPECTED_ACCOUNT_ID names {settings.ENV.aws_expected_account_id or 'none'}",
            operation="GetCallerIdentity",
            request_id=request_id(reply),
        )
    return account
