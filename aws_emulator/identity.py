"""Who may enter which account: roles with their trust policies, and the sessions that were granted.

Roles are moto's, so IAM calls see them too. moto itself grants every AssumeRole; what a trust policy demands is
decided here before moto hears of it, and what became of a session's role at every call that is made with it.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from moto.iam.models import iam_backends

from aws_emulator.wire import AwsError

TEMPORARY = "ASIA"
"""How the access keys of sessions begin."""
_PARTITION = "aws"


@dataclass
class Session:
    """What AssumeRole granted. `role_id` is that of the role then: a role made anew does not revive it."""

    account: str
    role_name: str
    role_id: str
    expires_at: float


class Identities:
    """Roles and sessions of all accounts; used under moto's lock."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}

    def put_role(self, account: str, name: str, trust: Mapping[str, Any]) -> str:
        """Create a role with this trust policy, or give the one that is there another; its ARN."""
        backend: Any = iam_backends[account][_PARTITION]
        role = self._role(account, name)
        if role is None:
            role = backend.create_role(
                role_name=name,
                assume_role_policy_document=json.dumps(trust),
                path="/",
                permissions_boundary=None,
                description="",
                tags=[],
                max_session_duration="3600",
            )
        else:
            role.assume_role_policy_document = json.dumps(trust)
        return str(role.arn)

    def delete_role(self, account: str, name: str) -> bool:
        """Take a role away, and with it all its sessions; whether it was there."""
        backend: Any = iam_backends[account][_PARTITION]
        role = self._role(account, name)
        if role is not None:
            del backend.roles[role.id]
        return role is not None

    def roles(self) -> list[dict[str, Any]]:
        """Every role of every account with its trust policy."""
        return [
            {
                "account": account,
                "role": role.name,
                "arn": role.arn,
                "trust_policy": json.loads(role.assume_role_policy_document),
            }
            for account, backends in list(iam_backends.items())
            for role in backends[_PARTITION].roles.values()
        ]

    def expire_sessions(self, account: str = "") -> int:
        """End the sessions of an account, or of all; how many there were."""
        ended = [each for each in self.sessions.values() if not account or each.account == account]
        for session in ended:
            session.expires_at = 0.0
        return len(ended)

    def check_session(self, access_key: str, service: str) -> None:
        """Raise AwsError, in the words of the service, for a session that is over or whose role is gone."""
        session = self.sessions.get(access_key)
        if session is None:
            if access_key.startswith(TEMPORARY):
                raise _invalid_token(service)
            return
        role = self._role(session.account, session.role_name)
        if role is None or role.id != session.role_id:
            raise _invalid_token(service)
        if session.expires_at <= time.time():
            code = "ExpiredToken" if service in ("s3", "sts", "iam") else "ExpiredTokenException"
            raise AwsError(code, "The security token included in the request is expired", 403)

    def check_assume_role(self, caller_account: str, arn: str, external_id: str | None) -> None:
        """Raise AwsError AccessDenied unless the role is there and its trust policy lets the caller in."""
        account, name = _parts(arn)
        role = self._role(account, name)
        caller = f"arn:aws:iam::{caller_account}:root"
        if role is None or not trusts(json.loads(role.assume_role_policy_document), caller_account, external_id):
            raise AwsError(
                "AccessDenied",
                f"User: {caller} is not authorized to perform: sts:AssumeRole on resource: {arn}",
                403,
            )

    def remember(self, arn: str, access_key: str, seconds: int) -> None:
        """Keep what moto granted."""
        account, name = _parts(arn)
        role = self._role(account, name)
        self.sessions[access_key] = Session(account, name, role.id if role else "", time.time() + seconds)

    def _role(self, account: str, name: str) -> Any:
        roles = iam_backends[account][_PARTITION].roles.values()
        return next((role for role in roles if role.name == name), None)


def trusts(policy: Mapping[str, Any], caller_account: str, external_id: str | None) -> bool:
    """Whether a trust policy lets an account assume the role: an Allow that applies, and no Deny that does.

    Only `sts:ExternalId` is known as a condition key, under StringEquals; any other condition never holds.
    """
    statements = _list(policy.get("Statement", []))
    effects = {each.get("Effect") for each in statements if _applies(each, caller_account, external_id)}
    return "Allow" in effects and "Deny" not in effects


def _applies(statement: Mapping[str, Any], caller_account: str, external_id: str | None) -> bool:
    named = statement.get("Principal", {})
    principals = _list(named.get("AWS", [])) if isinstance(named, Mapping) else _list(named)
    if not {"*", caller_account, f"arn:aws:iam::{caller_account}:root"} & set(principals):
        return False
    if not any(fnmatchcase("sts:AssumeRole", action) for action in _list(statement.get("Action", []))):
        return False
    for operator, keys in statement.get("Condition", {}).items():
        for key, values in keys.items():
            if operator != "StringEquals" or key != "sts:ExternalId" or external_id not in _list(values):
                return False
    return True


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _parts(arn: str) -> tuple[str, str]:
    pieces = arn.split(":")
    if len(pieces) != 6 or pieces[:3] != ["arn", "aws", "iam"] or not pieces[5].startswith("role/"):
        raise AwsError("ValidationError", f"{arn} is invalid")
    return pieces[4], pieces[5].rpartition("/")[2]


def _invalid_token(service: str) -> AwsError:
    message = "The security token included in the request is invalid."
    if service == "s3":
        return AwsError("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", 403)
    return AwsError(
        "InvalidClientTokenId" if service in ("sts", "iam") else "UnrecognizedClientException", message, 403
    )
