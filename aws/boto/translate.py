"""From boto3's exceptions and AWS's sentences to our errors: one table.

SageMaker uses `ValidationException` for bad input, absence, a taken name and a change in progress alike, so rules
look at code and message; the first that matches wins. Sources: aws-facts (AWS's own controllers, botocore's models)
and recorded answers; see tests/unit/aws/test_translate.py.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import urllib3.exceptions
from botocore import exceptions as boto

from aws import errors
from aws.gateway import FailureClass

AwsErrorClass = type[errors.AwsError]


class Rule(NamedTuple):
    """`code` and `message` are patterns that must both be found; an empty one matches all."""

    code: str
    message: str
    becomes: AwsErrorClass


_STATES = "Creating|Updating|Deleting|SystemUpdating|RollingBack"

RULES: tuple[Rule, ...] = (
    Rule(r"Throttl|^TooManyRequests|^RequestLimitExceeded$|^SlowDown$|ThroughputExceeded", "", errors.Throttled),
    Rule("", r"^Rate exceeded|[Rr]equest rate", errors.Throttled),
    Rule(
        r"^AccessDenied|^ExpiredToken|^InvalidClientTokenId$|^UnrecognizedClient|^SignatureDoesNotMatch$|^AuthFailure$"
        r"|^InvalidSignature|^MissingAuthenticationToken|^InvalidAccessKeyId$|^NotAuthorized|^OptInRequired$"
        r"|^UnauthorizedOperation$|^RequestExpired$|^TokenRefreshRequired$|^InvalidToken$|^40[13]$",
        "",
        errors.AccessDenied,
    ),
    Rule("", r"is not authorized to perform|Could not assume role|does not have permission", errors.AccessDenied),
    Rule(
        "",
        r"InsufficientInstanceCapacity|[Ii]nsufficient capacity|has no capacity to process",
        errors.CapacityUnavailable,
    ),
    Rule(r"^Insufficient\w*Capacity", "", errors.CapacityUnavailable),
    Rule(r"^ResourceLimitExceeded$|^LimitExceeded|^ServiceQuotaExceeded", "", errors.QuotaReached),
    Rule("", r"account-level service limit", errors.QuotaReached),
    Rule(r"^ResourceAlreadyExists|^BucketAlready|^EntityAlreadyExists", "", errors.AlreadyExists),
    Rule(r"^ValidationException$|^ResourceInUse|^ConflictException$", r"already.exist", errors.AlreadyExists),
    Rule(r"^ConditionalCheckFailed|^PreconditionFailed$|^412$", "", errors.PreconditionFailed),
    # The longer sentence first: "Could not find endpoint configuration" begins like "Could not find endpoint".
    Rule(r"^ValidationException$", r"^Could not find |does not exist\.?$", errors.Missing),
    Rule(r"^ResourceNotFound|^NoSuch(Key|Bucket|Version|Upload)$|^NotFound$|^404$", "", errors.Missing),
    Rule(r"^ValidationError$", r"not found|[Cc]ould not find", errors.Missing),
    Rule(
        r"^ValidationException$",
        rf"in.progress|\b(in|status|state)\b.{{0,20}}\b({_STATES})\b|\b({_STATES})\b.{{0,20}}\b(state|status)\b"
        r"|is not in ?service|must be In ?Service|inference components (still )?exist|underlying [Mm]odels"
        r"|is being (created|updated|deleted)"
        r"|being used by|Cannot (delete|update) .*(while|until|because)",
        errors.InProgress,
    ),
    Rule(
        r"^ConflictException$|^ResourceInUse|^ConditionalRequestConflict$|^OperationAborted$|^409$",
        "",
        errors.InProgress,
    ),
    Rule(r"^ModelError$", "", errors.ModelError),
    Rule(r"^ModelNotReady|^ModelStreamError$|^InternalStreamFailure$", "", errors.Unreachable),
    Rule(
        r"^Internal|^ServiceUnavailable|^RequestTimeout|^ServiceException$|^ServerInternalError$|^5\d\d$",
        "",
        errors.Unreachable,
    ),
    Rule("", r"^Request to service failed", errors.Unreachable),
    Rule(
        r"^Validation|^Invalid|^Malformed|^MissingParameter|^MissingRequiredParameter|^SerializationException$"
        r"|^UnknownOperation|^NotImplemented$|^EntityToo(Large|Small)$|^BadDigest$|^XAmzContent|^400$",
        "",
        errors.InvalidRequest,
    ),
)

# botocore's own exceptions, most specific first. What never left this machine is Rejected; what may have been
# carried out although no answer came is Unreachable.
LOCAL_RULES: tuple[tuple[tuple[type[Exception], ...], AwsErrorClass], ...] = (
    (
        (
            boto.NoCredentialsError,
            boto.PartialCredentialsError,
            boto.CredentialRetrievalError,
            boto.TokenRetrievalError,
            boto.NoAuthTokenError,
            boto.UnauthorizedSSOTokenError,
            boto.ProfileNotFound,
        ),
        errors.AccessDenied,
    ),
    (
        (boto.ParamValidationError, boto.NoRegionError, boto.UnknownParameterError, boto.InvalidRegionError),
        errors.InvalidRequest,
    ),
    (
        (
            boto.HTTPClientError,
            boto.ConnectionError,
            boto.IncompleteReadError,
            boto.FlexibleChecksumError,
            boto.ChecksumError,
            boto.EndpointConnectionError,
            urllib3.exceptions.HTTPError,
        ),
        errors.Unreachable,
    ),
)

_FAILURES: tuple[tuple[str, FailureClass], ...] = (
    (
        r"InsufficientInstanceCapacity|[Ii]nsufficient capacity|not enough (capacity|resources|instances)"
        r"|Unable to provision requested ML compute capacity",
        "capacity",
    ),
    (r"ResourceLimitExceeded|account-level service limit", "quota"),
    (r"^Request to service failed", "service"),
)


def classify_failure(reason: str) -> FailureClass:
    """What kind of failure a `FailureReason` tells of: "" without a reason, "terminal" when no rule knows it."""
    if not reason:
        return ""
    for pattern, failure in _FAILURES:
        if re.search(pattern, reason):
            return failure
    return "terminal"


def error_class(code: str, message: str, *, http_status: int = 400) -> AwsErrorClass:
    """Our class for an AWS answer. What no rule knows is Unreachable with a 5xx, otherwise Unrecognized."""
    for rule in RULES:
        if re.search(rule.code, code) and re.search(rule.message, message):
            return rule.becomes
    return errors.Unreachable if http_status >= 500 else errors.Unrecognized


def translate(error: Exception, operation: str) -> errors.AwsError:
    """Our error for one of boto3's; `operation` is used when the exception does not name it."""
    if isinstance(error, boto.ClientError):
        return _translate_answer(error, operation)
    for kinds, becomes in LOCAL_RULES:
        if isinstance(error, kinds):
            return becomes(code=type(error).__name__, message=str(error), operation=operation)
    return errors.Unrecognized(code=type(error).__name__, message=str(error), operation=operation)


def _translate_answer(error: boto.ClientError, operation: str) -> errors.AwsError:
    answer: Mapping[str, Any] = error.response
    detail = answer.get("Error", {})
    meta = answer.get("ResponseMetadata", {})
    code, message = str(detail.get("Code") or "NoCode"), str(detail.get("Message") or "")
    common = {
        "code": code,
        "message": message,
        "operation": error.operation_name or operation,
        "request_id": str(meta.get("RequestId") or ""),
    }
    becomes = error_class(code, message, http_status=int(meta.get("HTTPStatusCode") or 400))
    if becomes is errors.AccessDenied and common["operation"] == "AssumeRole":
        becomes = errors.AccessLost
    if becomes is errors.ModelError:
        return errors.ModelError(
            **common,
            status=int(answer.get("OriginalStatusCode") or 0),
            answer=str(answer.get("OriginalMessage") or ""),
        )
    return becomes(**common)


def call(method: Callable[..., Any], operation: str, /, *needed: str, **arguments: Any) -> dict[str, Any]:
    """Make one call and return its answer, which must hold the `needed` keys.

    An answer that was cut by an orderly close parses into a dict without its fields (boto3 1.44.5, tried). That is
    Unreachable, never emptiness: absence is only AWS's own word for it.
    """
    try:
        reply: dict[str, Any] = method(**arguments)
    except (boto.ClientError, boto.BotoCoreError, urllib3.exceptions.HTTPError) as error:
        raise translate(error, operation) from error
    for key in needed:
        if key not in reply:
            raise errors.Unreachable(
                code="IncompleteReply",
                message=f"the answer has no {key}: it was cut on the way",
                operation=operation,
                request_id=request_id(reply),
            )
    return reply


def request_id(reply: Mapping[str, Any]) -> str:
    """The request id of an answer, or "" when it carries none."""
    return str(reply.get("ResponseMetadata", {}).get("RequestId") or "")
