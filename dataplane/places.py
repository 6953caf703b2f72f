"""Clients that invoke, by where a route answers: here, in another region, or in another account by its role.

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

from dataplane.config import Route

SESSION_NAME = "dataplane"
SESSION_SECONDS = 3600


class Runtimes:
    """`sagemaker-runtime` clients, made once per place; safe to share between threads."""

    def __init__(self, session: boto3.session.Session, config: Config) -> None:
        self._session, self._config = session, config
        self._lock = threading.Lock()
        self._made: dict[tuple[str, str], Any] = {}
        self._here = session.client("sagemaker-runtime", config=config)

    def of(self, route: Route) -> Any:
        """The client that reaches the route."""
        if not route.region and not route.role_arn:
            return self._here
        key = (route.region, route.role_arn)
        with self._lock:
            if key not in self._made:
                self._made[key] = self._make(route)
            return self._made[key]

    def _make(self, route: Route) -> Any:
        session: Any = self._session
        if route.role_arn:
            core: Any = botocore.session.get_session()
            core._credentials = DeferredRefreshableCredentials(lambda: self._assume(route), "assume-role")
            session = boto3.session.Session(botocore_session=core)
        region = route.region or self._session.region_name
        return session.client("sagemaker-runtime", region_name=region, config=self._config)

    def _assume(self, route: Route) -> dict[str, Any]:
        granted = self._session.client("sts", config=self._config).assume_role(
            RoleArn=route.role_arn,
            RoleSessionName=SESSION_NAME,
            ExternalId=route.external_id,
            DurationSeconds=SESSION_SECONDS,
            Policy=json.dumps(invoking_only(route.account)),
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
            }
        ],
    }
