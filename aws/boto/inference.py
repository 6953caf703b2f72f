"""Invocation over a boto3 `sagemaker-runtime` client."""

import json
from collections.abc import Mapping
from typing import Any

import urllib3.exceptions
from botocore.exceptions import BotoCoreError

from aws import errors
from aws.boto.translate import call, request_id, translate

OPERATION = "InvokeEndpoint"


class BotoInference:
    """`InferenceGateway`: JSON in, JSON out."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def invoke(self, endpoint: str, component: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """See InferenceGateway.invoke. An answer that is not a JSON object is a ModelError too."""
        reply = call(
            self._client.invoke_endpoint,
            OPERATION,
            "Body",
            EndpointName=endpoint,
            InferenceComponentName=component,
            ContentType="application/json",
            Accept="application/json",
            Body=json.dumps(body).encode(),
        )
        try:
            text = reply["Body"].read()
        except (BotoCoreError, urllib3.exceptions.HTTPError) as error:
            raise translate(error, OPERATION) from error
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise errors.ModelError(
                code="NotJson",
                message="the container's answer is not a JSON object",
                operation=OPERATION,
                request_id=request_id(reply),
                answer=text[:500].decode("utf-8", "replace"),
            )
        return answer
