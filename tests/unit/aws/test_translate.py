"""The error table, met with recorded and documented answers (aws-facts 1.7 and 2.3, reliability 5.9)."""

import gzip
import json
from pathlib import Path

import botocore
import pytest
import urllib3.exceptions
from botocore import exceptions as boto

from aws import errors
from aws.boto.translate import call, classify_failure, error_class, translate

V = "ValidationException"
ARN = '"arn:aws:sagemaker:us-west-2:123456789012'

ANSWERS = [
    # taken names: AWS's sentence differs by operation
    (V, "Cannot create already existing endpoint " + ARN + ':endpoint/x".', errors.AlreadyExists),
    (V, "Cannot create already existing model " + ARN + ':model/x".', errors.AlreadyExists),
    (V, "Cannot create already existing endpoint configuration " + ARN + ':endpoint-config/x".', errors.AlreadyExists),
    (V, "Inference Component already exists: x", errors.AlreadyExists),
    ("ResourceInUse", "Resource already exists.", errors.AlreadyExists),
    ("ResourceAlreadyExists", "router x", errors.AlreadyExists),
    ("ConflictException", "The name is already existing.", errors.AlreadyExists),
    ("BucketAlreadyOwnedByYou", "", errors.AlreadyExists),
    # absence
    (V, "Could not find model " + ARN + ':model/x".', errors.Missing),
    (V, "Could not find endpoint configuration " + ARN + ':endpoint-config/x".', errors.Missing),
    (V, "Could not find endpoint " + ARN + ':endpoint/x".', errors.Missing),
    (V, "Could not find endpoint 'arn:aws:sagemaker:us-west-2:123456789012:endpoint/ep'.", errors.Missing),
    (V, "Could not find inference component " + ARN + ':inference-component/x".', errors.Missing),
    (V, "ModelPackageGroup x does not exist.", errors.Missing),
    ("ResourceNotFound", "x", errors.Missing),
    ("ResourceNotFoundException", "Requested resource not found", errors.Missing),
    ("ValidationError", "Endpoint x of account 123456789012 not found.", errors.Missing),
    ("NoSuchKey", "The specified key does not exist.", errors.Missing),
    ("NoSuchBucket", "", errors.Missing),
    ("404", "Not Found", errors.Missing),
    # a change in progress
    (V, "Cannot update in-progress endpoint " + ARN + ':endpoint/x".', errors.InProgress),
    (V, "Cannot delete endpoint x in Creating state", errors.InProgress),
    (V, "Cannot delete x while its status is Updating", errors.InProgress),
    (V, "Inference component is in Deleting state", errors.InProgress),
    (V, "Cannot delete endpoint ep: inference components exist: ['b', 't1']", errors.InProgress),
    (V, "There are some underlying Models that are part of this endpoint", errors.InProgress),
    (V, "Endpoint ep is not in service.", errors.InProgress),
    (V, f'Endpoint {ARN}:endpoint/x" must be InService, but is Creating.', errors.InProgress),
    (V, f'Cannot delete inference component {ARN}:inference-component/x" in status Updating.', errors.InProgress),
    (V, f'Cannot delete endpoint {ARN}:endpoint/x": inference components still exist on it: a.', errors.InProgress),
    ("ConflictException", "There was a conflict when you attempted to modify a resource", errors.InProgress),
    ("ResourceInUse", "Resource being accessed is in use.", errors.InProgress),
    ("ConditionalRequestConflict", "", errors.InProgress),
    # throttling, an HTTP 400 with SageMaker
    ("ThrottlingException", "Rate exceeded", errors.Throttled),
    ("Throttling", "Rate exceeded", errors.Throttled),
    ("TooManyRequestsException", "", errors.Throttled),
    ("RequestLimitExceeded", "", errors.Throttled),
    ("ProvisionedThroughputExceededException", "", errors.Throttled),
    ("SlowDown", "Please reduce your request rate.", errors.Throttled),
    (V, "Rate exceeded", errors.Throttled),
    # quota and capacity
    (
        "ResourceLimitExceeded",
        "The account-level service limit 'ml.g5.4xlarge for endpoint usage' is 0 Instances, with "
        "current utilization of 0 Instances and a request delta of 1 Instances.",
        errors.QuotaReached,
    ),
    ("ServiceQuotaExceededException", "", errors.QuotaReached),
    ("LimitExceededException", "", errors.QuotaReached),
    (
        "ValidationError",
        "Inference Component has no capacity to process this request. ApplicationAutoScaling may be "
        "in-progress (if configured) or try to increase the capacity by invoking UpdateInferenceComponentRuntimeConfig "
        "API.",
        errors.CapacityUnavailable,
    ),
    ("InsufficientInstanceCapacity", "", errors.CapacityUnavailable),
    # credentials
    (
        "AccessDeniedException",
        "User: arn:aws:iam::1:user/x is not authorized to perform: sagemaker:CreateModel",
        errors.AccessDenied,
    ),
    ("AccessDenied", "", errors.AccessDenied),
    ("ExpiredTokenException", "The security token included in the request is expired", errors.AccessDenied),
    ("ExpiredToken", "", errors.AccessDenied),
    ("InvalidClientTokenId", "", errors.AccessDenied),
    ("UnrecognizedClientException", "The security token included in the request is invalid.", errors.AccessDenied),
    ("SignatureDoesNotMatch", "", errors.AccessDenied),
    ("InvalidAccessKeyId", "", errors.AccessDenied),
    ("403", "Forbidden", errors.AccessDenied),
    (V, "Could not assume role arn:aws:iam::1:role/x. Please ensure that the role exists", errors.AccessDenied),
    (
        V,
        "An Application AutoScaling scalable target exists for a variant being deleted, and the IAM identity does not "
        "have permission",
        errors.AccessDenied,
    ),
    # AWS's own failures
    ("InternalFailure", "", errors.Unreachable),
    ("InternalServerError", "", errors.Unreachable),
    ("InternalDependencyException", "", errors.Unreachable),
    ("ServiceUnavailable", "", errors.Unreachable),
    ("ServiceUnavailableException", "", errors.Unreachable),
    ("500", "Internal Server Error", errors.Unreachable),
    ("503", "", errors.Unreachable),
    ("RequestTimeout", "", errors.Unreachable),
    (V, "Request to service failed. If failure persists after retry, contact customer support.", errors.Unreachable),
    ("ModelNotReadyException", "", errors.Unreachable),
    # the container
    ("ModelError", "Received client error (404) from primary with message ...", errors.ModelError),
    # conditional writes
    ("ConditionalCheckFailedException", "The conditional request failed", errors.PreconditionFailed),
    ("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", errors.PreconditionFailed),
    # our request
    (
        V,
        "1 validation error detected: Value 'a_b' at 'endpointName' failed to satisfy constraint",
        errors.InvalidRequest,
    ),
    ("ValidationError", "Accept header is malformed", errors.InvalidRequest),
    ("InvalidParameterValue", "", errors.InvalidRequest),
    ("InvalidNextToken", "", errors.InvalidRequest),
    ("SerializationException", "", errors.InvalidRequest),
    ("BadDigest", "", errors.InvalidRequest),
    # what no rule knows is handled with care
    ("BrandNewException", "something", errors.Unrecognized),
    ("NoCode", "", errors.Unrecognized),
]


@pytest.mark.parametrize(("code", "message", "expected"), ANSWERS, ids=[f"{row[0]}-{row[1][:40]}" for row in ANSWERS])
def test_answer_becomes_the_class_that_the_table_says(code, message, expected):
    assert error_class(code, message) is expected


def test_unknown_code_with_a_5xx_is_unreachable():
    assert error_class("BrandNewException", "", http_status=502) is errors.Unreachable


@pytest.mark.parametrize("service", ["sagemaker/2017-07-24", "sagemaker-runtime/2017-05-13"])
def test_every_exception_of_botocores_model_has_a_class(service):
    path = Path(botocore.__file__).parent / "data" / service / "service-2.json.gz"
    shapes = json.loads(gzip.decompress(path.read_bytes()))["shapes"]
    names = [name for name, shape in shapes.items() if shape.get("exception")]
    assert len(names) >= 5
    unknown = [name for name in names if error_class(name, "") is errors.Unrecognized]
    assert unknown == []


LOCAL = [
    (boto.NoCredentialsError(), errors.AccessDenied),
    (boto.ParamValidationError(report="x"), errors.InvalidRequest),
    (boto.NoRegionError(), errors.InvalidRequest),
    (boto.EndpointConnectionError(endpoint_url="http://x"), errors.Unreachable),
    (boto.ConnectTimeoutError(endpoint_url="http://x"), errors.Unreachable),
    (boto.ReadTimeoutError(endpoint_url="http://x"), errors.Unreachable),
    (boto.ConnectionClosedError(endpoint_url="http://x"), errors.Unreachable),
    (boto.SSLError(endpoint_url="http://x", error="x"), errors.Unreachable),
    (boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), errors.Unreachable),
    (boto.HTTPClientError(error="x"), errors.Unreachable),
    (urllib3.exceptions.ProtocolError("reset"), errors.Unreachable),
    (boto.UnknownServiceError(service_name="x", known_service_names=""), errors.Unrecognized),
]


@pytest.mark.parametrize(("error", "expected"), LOCAL, ids=[type(row[0]).__name__ for row in LOCAL])
def test_botocores_own_exceptions(error, expected):
    ours = translate(error, "DescribeEndpoint")
    assert type(ours) is expected
    assert ours.operation == "DescribeEndpoint"


def test_outcome_is_unknown_exactly_where_no_answer_came():
    assert errors.Unreachable.outcome_unknown
    assert errors.Unrecognized.outcome_unknown
    assert not errors.Throttled.outcome_unknown
    assert not errors.QuotaReached.outcome_unknown


def test_a_model_error_keeps_the_containers_answer():
    answer = {
        "Error": {"Code": "ModelError", "Message": "Received server error"},
        "OriginalStatusCode": 404,
        "OriginalMessage": '{"detail":"Not Found"}',
        "ResponseMetadata": {"RequestId": "r-1", "HTTPStatusCode": 424},
    }
    ours = translate(boto.ClientError(answer, "InvokeEndpoint"), "InvokeEndpoint")
    assert isinstance(ours, errors.ModelError)
    assert (ours.status, ours.answer, ours.request_id) == (404, '{"detail":"Not Found"}', "r-1")


def test_an_answer_without_its_fields_is_unreachable_not_empty():
    with pytest.raises(errors.Unreachable) as caught:
        call(lambda **_: {"ResponseMetadata": {"RequestId": "r-2"}}, "ListEndpoints", "Endpoints")
    assert caught.value.request_id == "r-2"
    assert caught.value.outcome_unknown


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("", ""),
        ("InsufficientInstanceCapacity: no ml.g5.2xlarge", "capacity"),
        ("Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error.", "capacity"),
        ("ResourceLimitExceeded: The account-level service limit", "quota"),
        ("Request to service failed. If failure persists after retry, contact customer support.", "service"),
        ("The primary container for production variant main did not pass the ping health check.", "terminal"),
        ("CannotStartContainerError", "terminal"),
    ],
)
def test_failure_reasons(reason, expected):
    assert classify_failure(reason) == expected
