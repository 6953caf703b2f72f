"""Credentials of assumed roles: fetched at the first call, renewed before they end, fetched anew once refused."""

from collections.abc import Callable
from typing import Any

from botocore.credentials import DeferredRefreshableCredentials

from aws import errors
from aws.boto.translate import call, request_id
from aws.roles import Entry, Role

SESSION_NAME = "controlplane"
# What a role that was entered from another role may have at most.
SESSION_SECONDS = 3600
# Where a call keeps with which session it was made.
FETCHES = "controlplane_session"
# AWS's words for a session that it does not take any more: over, or its role is another one now.
REFUSED_SESSION = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "InvalidAccessKeyId",
        "InvalidToken",
        "TokenRefreshRequired",
    }
)


class RoleCredentials(DeferredRefreshableCredentials):
    """Credentials of one role. Threads share them; one of them fetches while the others wait."""

    def __init__(self, role: Role, sts: Callable[[], Any]) -> None:
        super().__init__(refresh_using=lambda: self._renew(role, sts), method="assume-role")
        self.fetches = 0

    def forget(self, fetches: int) -> None:
        """Fetch anew at the next call: AWS has refused the session of that many fetches.

        When another thread has fetched since, there is a newer one to use already.
        """
        if fetches == self.fetches:
            self._frozen_credentials = None

    def _renew(self, role: Role, sts: Callable[[], Any]) -> dict[str, Any]:
        granted = _fetch(role, sts())
        self.fetches += 1
        return granted


def renew_when_refused(client: Any, credentials: RoleCredentials) -> None:
    """Have a call that is refused because of its session made once more with a new one.

    When the role cannot be assumed any more, the caller gets that refusal: it says more than the first.
    """

    def again(*, response: Any, attempts: int, request_dict: dict[str, Any], **_: Any) -> int | None:
        if attempts > 1 or response is None:
            return None
        code = response[1].get("Error", {}).get("Code")
        if code not in REFUSED_SESSION:
            return None
        credentials.forget(request_dict["context"][FETCHES])
        return 0

    def note(*, context: dict[str, Any], **_: Any) -> None:
        context[FETCHES] = credentials.fetches or 1  # the first call of all is what fetches

    client.meta.events.register_first(f"before-call.{client.meta.service_model.service_id.hyphenize()}", note)
    client.meta.events.register_first(f"needs-retry.{client.meta.service_model.service_id.hyphenize()}", again)


def enter(sts: Any, role_arn: str, external_id: str | None, client_for: Callable[[Any], Any]) -> Entry:
    """Assume a role, with or without an external id, and ask AWS where that led. Raises AwsError."""
    granted = _assume(sts, role_arn, external_id)
    reply = call(client_for(granted).get_caller_identity, "GetCallerIdentity", "Account", "Arn")
    return Entry(account=str(reply["Account"]), arn=str(reply["Arn"]), request_id=request_id(reply))


def _fetch(role: Role, sts: Any) -> dict[str, Any]:
    granted = _assume(sts, role.arn, role.external_id)
    return {
        "access_key": granted["AccessKeyId"],
        "secret_key": granted["SecretAccessKey"],
        "token": granted["SessionToken"],
        "expiry_time": granted["Expiration"].isoformat(),
    }


def _assume(sts: Any, role_arn: str, external_id: str | None) -> Any:
    """The credentials. Raises AccessLost when AWS refuses, also when it grants another account than the ARN's."""
    arguments = {"RoleArn": role_arn, "RoleSessionName": SESSION_NAME, "DurationSeconds": SESSION_SECONDS}
    if external_id is not None:
        arguments["ExternalId"] = external_id
    reply = call(sts.assume_role, "AssumeRole", "Credentials", "AssumedRoleUser", **arguments)
    landed = reply["AssumedRoleUser"]["Arn"].split(":")[4]
    if landed != role_arn.split(":")[4]:
        raise errors.AccessLost(
            code="UnexpectedAccount",
            message=f"the role {role_arn} led into account {landed}",
            operation="AssumeRole",
            request_id=request_id(reply),
        )
    return reply["Credentials"]
