"""Does an adapter take effect? InService does not prove that the container loaded it (aws-facts 1.5).

The same prompts go to the base component and to the adapter's. An adapter that refuses was not loaded; one whose
answers all equal the base's has no effect: a quiet fall-back to the base looks exactly like that.
"""

from dataclasses import dataclass
from typing import Any

from aws import errors
from core.crashpoints import boundary
from provisioning.doors import Doors
from provisioning.models import ManagedResource

PROMPTS = ("Say in one sentence what you do best.", "Continue this list: one, two,")
MAX_TOKENS = 24
NOT_LOADED = "not_loaded"
NO_EFFECT = "no_effect"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`code` is empty when the adapter takes effect; `evidence` holds what was asked and answered."""

    code: str
    detail: str
    evidence: dict[str, Any]


def probe(adapter: ManagedResource) -> Verdict:
    """Ask base and adapter until an answer differs.

    Raises aws.errors.Retryable when either cannot be asked now, and AwsError when the base itself refuses: neither
    says anything about the adapter.
    """
    endpoint, base = adapter.identity["endpoint_name"], adapter.identity["base_component_name"]
    asked: list[dict[str, Any]] = []
    for prompt in PROMPTS:
        body = {"prompt": prompt, "max_tokens": MAX_TOKENS, "temperature": 0}
        base_answer = _ask(adapter.account, adapter.region, endpoint, base, body)
        try:
            answer = _ask(adapter.account, adapter.region, endpoint, adapter.name, body)
        except errors.ModelError as error:
            detail = f"The container does not answer with the adapter: {error.answer or error.message}"
            evidence = {
                "prompt": prompt,
                "status": error.status,
                "answer": error.answer,
                "request_id": error.request_id,
            }
            return Verdict(NOT_LOADED, detail, evidence)
        asked.append({"prompt": prompt, "base": base_answer, "adapter": answer})
        if answer != base_answer:
            return Verdict("", "The adapter's answers differ from the base model's.", {"asked": asked})
    detail = f"{len(PROMPTS)} of {len(PROMPTS)} answers are the base model's: the adapter is not applied."
    return Verdict(NO_EFFECT, detail, {"asked": asked})


def answer_of(component: ManagedResource) -> str:
    """What a component says to one short question. Raises AwsError; ModelError when the container refuses."""
    body = {"prompt": PROMPTS[0], "max_tokens": 1, "temperature": 0}
    return _ask(component.account, component.region, component.identity["endpoint_name"], component.name, body)


def _ask(account: str, region: str, endpoint: str, component: str, body: dict[str, Any]) -> str:
    with boundary("probe"):
        reply = Doors([account]).inference(account, region).invoke(endpoint, component, body)
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise errors.ModelError(
            code="NoChoices", message="the answer has no choices", operation="InvokeEndpoint", answer=str(reply)[:500]
        )
    return str(choices[0].get("text", ""))
