"""What AWS can answer instead of what we asked for.

Three answers: `Retryable` (wait and look again), `Rejected` (a person is needed, or the wish must change) and
`Missing` (what we asked about does not exist). Anything else that is raised is a bug. Which AWS code becomes which
class is one table: aws.boto.translate.
"""


class AwsError(Exception):
    """An AWS call that did not do what it was asked.

    `code` and `message` are AWS's own, `request_id` is what AWS support asks for (empty when no answer came), and
    `operation` is the API operation. `outcome_unknown` says that the call may have been carried out all the same, so
    that the next step must be to look.
    """

    outcome_unknown = False

    def __init__(self, *, code: str, message: str, operation: str, request_id: str = "") -> None:
        super().__init__(f"{operation}: {code}: {message}")
        self.code = code
        self.message = message
        self.operation = operation
        self.request_id = request_id


class Retryable(AwsError):
    """The same call can succeed later."""


class Throttled(Retryable):
    """Too many calls; wait with jitter."""


class CapacityUnavailable(Retryable):
    """AWS has no such instances free at the moment, or a component has no copy to answer."""


class QuotaReached(Retryable):
    """The account's quota does not allow it; somebody must raise the quota or free something."""


class InProgress(Retryable):
    """The object is being changed and takes no other change until that has ended."""


class Unreachable(Retryable):
    """No answer, half an answer, or AWS's own failure: the call may have been carried out."""

    outcome_unknown = True


class Unrecognized(Retryable):
    """An answer that our table does not know; treated with the caution of `Unreachable`."""

    outcome_unknown = True


class Rejected(AwsError):
    """The same call will fail again."""


class AccessDenied(Rejected):
    """The credentials are missing, expired or not allowed to do this."""


class AccessLost(AccessDenied):
    """Another account cannot be entered: its role is gone, or does not trust us with our external id."""


class AlreadyExists(Rejected):
    """The name is taken; whether by us is found out by looking."""


class PreconditionFailed(Rejected):
    """A conditional write found another state than it named."""


class InvalidRequest(Rejected):
    """AWS refuses what we sent."""


class ModelError(Rejected):
    """The model's container answered an invocation with an error; `status` and `answer` are the container's."""

    def __init__(
        self, *, code: str, message: str, operation: str, request_id: str = "", status: int = 0, answer: str = ""
    ) -> None:
        super().__init__(code=code, message=message, operation=operation, request_id=request_id)
        self.status = status
        self.answer = answer


class Missing(AwsError):
    """What was asked about does not exist. Only a complete answer of AWS says so, never a silence."""
