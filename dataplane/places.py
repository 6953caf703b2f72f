"""Clients that invoke, by where a target answers: here, in another region, or in another account by its role.

A role is assumed for what a data plane does and nothing else: a session policy takes away everything but invoking,
whatever the role may do besides. Credentials are fetched at the first request and renewed before they end.
"""

from __future__ import annotations

import json
import threading
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import DeferredRefreshableCredentials

from dataplane.config import API, Target

SESSION_NAME = "dataplane"
SESSION_SECONDS = 3600


class Runtimes:
    """Clients of `sagemaker-runtime` and `bedrock-runtime`, made once per place; safe to share between threads."""

    def __init__(self, session: boto3.session.Session, config: Config) -> None:
        self._session, self._config = session, config
        self._lock = threading.Lock()
        self._made: dict[tuple[str, str, str], Any] = {}

    def of(self, target: Target) -> Any:
        """The client that reaches the target."""
        service = "bedrock-runtime" if target.kind == API else "sagemaker-runtime"
        key = (service, target.region, target.role_arn)
        made = self._made.get(key)
        if made is not None:
            return made
        with self._lock:
            if key not in self._made:
                self._made[key] = self._make(service, target)
            return self._made[key]

    def _make(self, service: str, target: Target) -> Any:
        session: Any = self._session
        if target.role_arn:
            core: Any = botocore.session.get_session()
            core._credentials = DeferredRefreshableCredentials(lambda: self._assume(target), "assume-role")
            session = boto3.session.Session(botocore_session=core)
        return session.client(service, region_name=target.region, config=self._config)

    def _assume(self, target: Target) -> dict[str, Any]:
        granted = self._session.client("sts", config=self._config).assume_role(
            RoleArn=target.role_arn,
            RoleSessionName=SESSION_NAME,
            ExternalId=target.external_id,
            DurationSeconds=SESSION_SECONDS,
            Policy=json.dumps(invoking_only(target.account)),
        )["Credentials"]
        return {
            "access_key": granted["AccessKeyId"],
            "secret_key": granted["SecretAccessKey"],
            "token": granted["SessionToken"],
            "expiry_time": granted["Expiration"].isoformat(),
        }


def invoking_only(account: str) -> dict[str, Any]:
    """The session policy: what the session may do at most."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream"],
                "Resource": f"arn:aws:sagemaker:*:{account}:*",
            },
            {
                "Effect": "Allow",
                "Action": ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"],
                # A profile is asked for with the models that it leads to.
                "Resource": [
                    f"arn:aws:bedrock:*:{account}:application-inference-profile/*",
                    f"arn:aws:bedrock:*:{account}:inference-profile/*",
                    "arn:aws:bedrock:*::foundation-model/*",
                ],
            },
        ],
    }
