"""One request to a tenant's inference component, and the tokens that the answer itself reports.

SageMaker routes by InferenceComponentName. Whatever in a body could name another model or adapter is taken out, so
that a tenant's text cannot choose whose adapter answers. Tokens come from `usage` only: never counted from text or
stream lines.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dataplane.config import Target
from dataplane.errors import ModelFailed, ModelUnavailable
from dataplane.usage import Usage, usage_of_completion

# `model` and `adapters` choose whose weights answer; whether and how to stream is the caller's function, not an option.
STRIPPED = frozenset({"model", "adapters", "stream", "stream_options"})
RETRYABLE_CODES = frozenset(
    {
        "ModelNotReadyException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "InternalFailure",
        "InternalDependencyException",
        "InternalServerException",
        "ModelTimeoutException",
        "ThrottlingException",
    }
)
# The runtime answers a component without copies with ValidationError 400; only its text tells it from a bad request.
NO_CAPACITY = "has no capacity to process this request"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the component returned, with the token counts that it reported."""

    text: str
    usage: Usage
    finish_reason: str


def strip(options: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a tenant's request options without those that choose a model, an adapter or a stream."""
    return {key: value for key, value in options.items() if key not in STRIPPED}


def invoke(client: Any, target: Target, body: Mapping[str, Any]) -> Answer:
    """Send `body` to the target's component. Raises ModelUnavailable (try again) or ModelFailed (do not)."""
    try:
        reply = client.invoke_endpoint(
            EndpointName=target.endpoint,
            InferenceComponentName=target.component,
            ContentType="application/json",
            Accept="application/json",
            Body=json.dumps(strip(body)).encode(),
        )
        raw = reply["Body"].read()
    except ClientError as error:
        raise failure(target, error) from None
    except BotoCoreError as error:
        raise ModelUnavailable(f"Endpoint {target.endpoint} does not answer: {error}") from None
    return read_answer(raw, target.component)


def read_answer(raw: bytes, component: str) -> Answer:
    """Read an OpenAI completion. Raises ModelFailed when it is malformed or reports no usage."""
    try:
        found = json.loads(raw)
        choice, usage = found["choices"][0], usage_of_completion(found["usage"])
        text, finish_reason = str(choice["text"]), str(choice.get("finish_reason"))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ModelFailed(f"Component {component} answered without text or usage ({type(error).__name__}).") from None
    return Answer(text=text, usage=usage, finish_reason=finish_reason)


def failure(target: Target, error: ClientError) -> ModelUnavailable | ModelFailed:
    """The runtime's refusal as ours: whether to try again, with AWS's words and request id."""
    code = error.response.get("Error", {}).get("Code", "Unknown")
    message = error.response.get("Error", {}).get("Message", "")
    request_id = error.response.get("ResponseMetadata", {}).get("RequestId", "unknown")
    detail = f"{target.place} refused: {code}: {message} (request {request_id})."
    if code in RETRYABLE_CODES or NO_CAPACITY in message:
        return ModelUnavailable(detail)
    return ModelFailed(detail)
