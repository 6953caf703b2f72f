"""One request to a model of Bedrock by Converse, whole or streamed, and the tokens that Bedrock reports.

A body is the same as for a hosted line; what Converse has no word for is left out. AWS itself counts what was used,
under the tenant's inference profile, so nothing is put to CloudWatch for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dataplane.config import Target
from dataplane.errors import ModelFailed, ModelUnavailable
from dataplane.invoke import Answer, failure
from dataplane.lines import StreamBroken, Tally
from dataplane.usage import usage_of_converse

# Options of a completion, and what Converse calls them.
OPTIONS = {"temperature": "temperature", "top_p": "topP", "stop": "stopSequences"}


def converse(client: Any, target: Target, body: Mapping[str, Any]) -> Answer:
    """Send `body` to the target's model. Raises ModelUnavailable (try again) or ModelFailed (do not)."""
    try:
        reply = client.converse(**request_of(target, body))
    except ClientError as error:
        raise failure(target, error) from None
    except BotoCoreError as error:
        raise ModelUnavailable(f"{target.place} does not answer: {error}") from None
    try:
        text = "".join(part.get("text", "") for part in reply["output"]["message"]["content"])
        usage = usage_of_converse(reply["usage"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ModelFailed(f"{target.place} answered without text or usage ({type(error).__name__}).") from None
    return Answer(text, usage, str(reply.get("stopReason")))


def open_converse(client: Any, target: Target, body: Mapping[str, Any]) -> Any:
    """Begin a streamed answer; its events. Raises as `converse` does."""
    try:
        return client.converse_stream(**request_of(target, body))["stream"]
    except ClientError as error:
        raise failure(target, error) from None
    except BotoCoreError as error:
        raise ModelUnavailable(f"{target.place} does not answer: {error}") from None


def request_of(target: Target, body: Mapping[str, Any]) -> dict[str, Any]:
    """A completion's body as Converse takes it."""
    asked = {OPTIONS[name]: value for name, value in body.items() if name in OPTIONS and value is not None}
    if isinstance(asked.get("stopSequences"), str):
        asked["stopSequences"] = [asked["stopSequences"]]
    return {
        "modelId": target.model,
        "messages": [{"role": "user", "content": [{"text": body["prompt"]}]}],
        "inferenceConfig": {**asked, "maxTokens": body["max_tokens"]},
    }


class ConverseReader:
    """Turns the events of a stream into pieces of text and keeps the tally."""

    def __init__(self) -> None:
        self.tally = Tally()

    def pieces(self, events: Iterator[Mapping[str, Any]]) -> Iterator[str]:
        """The pieces of the answer. Raises StreamBroken for an event that cannot be read."""
        for event in events:
            try:
                piece = self._take(event)
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                raise StreamBroken(f"Bedrock sent an event of an unknown form ({type(error).__name__}).") from None
            if piece:
                self.tally.pieces += 1
                yield piece

    def _take(self, event: Mapping[str, Any]) -> str:
        if "messageStop" in event:
            self.tally.finish_reason = str(event["messageStop"]["stopReason"])
        if "metadata" in event:
            self.tally.take(usage_of_converse(event["metadata"]["usage"]))
            self.tally.is_final = True
        if "contentBlockDelta" in event:
            return str(event["contentBlockDelta"]["delta"].get("text", ""))
        return ""
