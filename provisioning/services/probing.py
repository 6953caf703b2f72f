"""Does an adapter take effect? InService does not prove that the container loaded it (aws-facts 1.5).

The same prompts go to the base component and to the adapter's. An adapter that refuses was not loaded; one whose
answers all equal the base's has no effect: a quiet fall-back to the base looks exactly like that. And AWS loads an
artifact by its name, so first it is asked whether what lies there is still what passed the gate.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aws import errors
from core.crashpoints import boundary
from models_registry.artifacts import found_under
from provisioning.doors import Doors
from provisioning.models import ManagedResource

PROMPTS = ("Say in one sentence what you do best.", "Continue this list: one, two,")
MAX_TOKENS = 24
ARTIFACT_CHANGED = "artifact_changed"
NOT_LOADED = "not_loaded"
NO_EFFECT = "no_effect"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`code` is empty when the adapter takes effect; `evidence` holds what was asked and answered."""

    code: str
    detail: str
    evidence: dict[str, Any]


def probe(adapter: ManagedResource) -> Verdict:
    """Compare the artifact with what was admitted, then ask base and adapter until an answer differs.

    Raises aws.errors.Retryable when either cannot be asked now, and AwsError when the base itself refuses: neither
    says anything about the adapter.
    """
    changed = _changed(adapter)
    if changed is not None:
        return changed
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


def _changed(adapter: ManagedResource) -> Verdict | None:
    """The verdict over an artifact that is not the one that was admitted; None for one that is."""
    version, url = adapter.adapter_version, adapter.identity["artifact_url"]
    if version is None:
        raise ValueError(f"{adapter.name} has no version")
    bucket, _, key = url.removeprefix("s3://").partition("/")
    store = Doors([adapter.account]).copies(adapter.account, adapter.region, bucket)
    found = None
    with boundary("compare artifact"), suppress(errors.Missing):
        facts = found_under(store, key)
        if facts.sha256 == version.sha256:
            return None
        found = {"sha256": facts.sha256, "bytes": facts.size_bytes}
    admitted = {"sha256": version.sha256, "bytes": version.size_bytes}
    what = "other bytes than those that passed the gate" if found else "nothing"
    detail = f"Under {url} lies {what}: whatever the container has loaded is not version {version.number}."
    return Verdict(ARTIFACT_CHANGED, detail, {"artifact": url, "admitted": admitted, "found": found})


def _ask(account: str, region: str, endpoint: str, component: str, body: dict[str, Any]) -> str:
    with boundary("probe"):
        reply = Doors([account]).inference(account, region).invoke(endpoint, component, body)
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise errors.ModelError(
            code="NoChoices", message="the answer has no choices", operation="InvokeEndpoint", answer=str(reply)[:500]
        )
    return str(choices[0].get("text", ""))
