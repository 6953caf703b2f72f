"""The SageMaker runtime: answers are a function of the base, the loaded artifact's bytes and the prompt alone.

Dialect `openai_completions`: `{"prompt", "max_tokens", "ignore_eos"}` in, an OpenAI text completion out. A token is
a word set apart by white space; a prompt that is not plain ASCII is answered in kana, so that characters of several
bytes travel too.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from aws_emulator.copies import Place
from aws_emulator.objects import IN_SERVICE, UPDATING, Endpoint, Loaded, Region
from aws_emulator.sagemaker import refuse_request
from aws_emulator.wire import AwsError, Reply, Request
from aws_emulator.world import Caching, World

PREFIX, SUFFIX = "/endpoints/", "/invocations"
_DEFAULT_MAX_TOKENS = 16
_LONGEST_BODY_BYTES = 25 * 1024 * 1024
_NO_CAPACITY = (
    "Inference Component has no capacity to process this request. ApplicationAutoScaling may be in-progress "
    "(if configured) or try to increase the capacity by invoking UpdateInferenceComponentRuntimeConfig API."
)
_ONSETS = ["b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z"]
_WORDS = [f"{first}{vowel}{last}" for first in _ONSETS for vowel in "aeio" for last in "lnrs"]
_KANA = [first + last for first in "かきくけこさしすせそたちつてとな" for last in "にぬねのはひふへほまみむめもやゆ"]


@dataclass(frozen=True)
class Accepted:
    """A request that its container has read: what answers and where, what was asked, and whether the reply is to be
    lost."""

    loaded: Loaded
    asked: dict[str, Any]
    variant: str
    place: Place
    lost: bool


def accept(world: World, account: str, request: Request, operation: str, suffix: str) -> Accepted:
    """Find what answers one call of `operation` and read its body. Raises AwsError."""
    endpoint_name = unquote(request.path[len(PREFIX) : -len(suffix)])
    component_name = request.headers.get("x-amzn-sagemaker-inference-component", "")
    with world.lock:
        world.calls[operation] += 1
        lost = refuse_request(world, operation, component_name or endpoint_name, of_sagemaker=False)
        region = world.region(account, request.region)
        loaded, variant, place = _find_loaded(region, endpoint_name, component_name, request)
    if len(request.body) > _LONGEST_BODY_BYTES:
        raise AwsError("ValidationError", f"The body must not exceed {_LONGEST_BODY_BYTES} bytes.", 413)
    if loaded.behaviour == "load_nothing":
        raise _model_error(404, json.dumps({"detail": "Not Found"}), endpoint_name)
    return Accepted(loaded, _read_prompt(request.body, endpoint_name), variant, place, lost)


def answer(world: World, account: str, request: Request) -> Reply:
    """Answer one InvokeEndpoint call. Raises AwsError."""
    call = accept(world, account, request, "InvokeEndpoint", SUFFIX)
    headers = [("Content-Type", "application/json"), ("x-Amzn-Invoked-Production-Variant", call.variant)]
    completion = with_cache(complete(call.loaded, call.asked), world.caching)
    with world.copies.taken(call.place):
        world.copies.say(completion["usage"]["completion_tokens"])
    return Reply(200, headers, json.dumps(completion).encode(), call.lost)


def _find_loaded(
    region: Region, endpoint_name: str, component_name: str, request: Request
) -> tuple[Loaded, str, Place]:
    endpoint = region.endpoints.get(endpoint_name)
    if endpoint is None:
        raise AwsError("ValidationError", f"Endpoint {endpoint_name} of account {region.account} not found.")
    if endpoint.status not in (IN_SERVICE, UPDATING):
        raise AwsError("ValidationError", f"Endpoint {endpoint_name} is not in service, it is {endpoint.status}.")
    if not endpoint.config.takes_components:
        return _find_variant(endpoint, component_name, request)
    if not component_name:
        raise AwsError(
            "ValidationError",
            "Inference Component Name header is required for endpoints to which you "
            "plan to deploy inference components.",
        )
    component = region.components.get(component_name)
    if component is None or component.endpoint_name != endpoint_name:
        raise AwsError(
            "ValidationError",
            f"Inference Component {component_name} of account {region.account} not found on endpoint {endpoint_name}.",
        )
    base = region.components.get(component.base_name) if component.base_name else component
    if component.status not in (IN_SERVICE, UPDATING) or component.loaded is None or base is None:
        raise AwsError(
            "ValidationError", f"Inference Component {component_name} is not in service, it is {component.status}."
        )
    if base.copies == 0:
        raise AwsError("ValidationError", _NO_CAPACITY)
    return component.loaded, component.variant_name, Place(base.arn, base.copies)


def _find_variant(endpoint: Endpoint, component_name: str, request: Request) -> tuple[Loaded, str, Place]:
    if component_name:
        raise AwsError("ValidationError", f"Endpoint {endpoint.name} does not serve inference components.")
    heaviest = max(endpoint.fleet, key=lambda name: endpoint.fleet[name][0])
    variant = request.headers.get("x-amzn-sagemaker-target-variant", heaviest)
    if variant not in endpoint.loaded:
        raise AwsError("ValidationError", f"Variant {variant} of endpoint {endpoint.name} not found.")
    _, instances = endpoint.fleet[variant]
    return endpoint.loaded[variant], variant, Place(f"{endpoint.arn}/{variant}", instances)


def _model_error(status: int, message: str, endpoint_name: str) -> AwsError:
    return AwsError(
        "ModelError",
        f'Received client error ({status}) from primary with message "{message}". See the log group '
        f"/aws/sagemaker/Endpoints/{endpoint_name} for more information.",
        424,
        {"OriginalStatusCode": status, "OriginalMessage": message, "LogStreamArn": ""},
    )


def _read_prompt(body: bytes, endpoint_name: str) -> dict[str, Any]:
    """The body as the container reads it; a body it cannot read is its own error 400."""
    try:
        asked = json.loads(body)
    except ValueError:
        asked = None
    problem = ""
    if not isinstance(asked, dict):
        problem = "The body must be a JSON object."
    elif not isinstance(asked.get("prompt"), str):
        problem = "prompt must be a string."
    elif type(asked.get("max_tokens", 1)) is not int or asked.get("max_tokens", 1) < 1:
        problem = "max_tokens must be a whole number of at least 1."
    if problem or not isinstance(asked, dict):
        raise _model_error(400, json.dumps({"error": {"message": problem, "code": 400}}), endpoint_name)
    return asked


def complete(loaded: Loaded, asked: dict[str, Any]) -> dict[str, Any]:
    """The completion of `prompt` by what is loaded: the same for the same base, artifact and prompt, for ever.

    With `ignore_eos` it has exactly `max_tokens` words, else it may stop earlier.
    """
    prompt, most = asked["prompt"], asked.get("max_tokens", _DEFAULT_MAX_TOKENS)
    artifact = "" if loaded.behaviour == "fall_back_to_base" else loaded.artifact
    seed = hashlib.sha256("\0".join((loaded.base, artifact, prompt)).encode("utf-8", "surrogatepass"))
    natural = 4 + seed.digest()[0] % 60
    count = most if asked.get("ignore_eos") else min(most, natural)
    stream = hashlib.shake_256(seed.digest()).digest(count)
    words = _WORDS if prompt.isascii() else _KANA
    words_in = len(prompt.split())
    return {
        "id": f"cmpl-{seed.hexdigest()[:24]}",
        "object": "text_completion",
        "model": f"base-{hashlib.sha256(loaded.base.encode()).hexdigest()[:8]}",
        "choices": [
            {
                "index": 0,
                "text": " ".join(map(words.__getitem__, stream)),
                "finish_reason": "length" if count == most else "stop",
            }
        ],
        "usage": {"prompt_tokens": words_in, "completion_tokens": count, "total_tokens": words_in + count},
    }


def with_cache(completion: dict[str, Any], caching: Caching) -> dict[str, Any]:
    """The completion with what was read from a cache in its usage, as vLLM tells it: only where there is any."""
    read, _ = caching.of(completion["usage"]["prompt_tokens"])
    if read:
        completion["usage"]["prompt_tokens_details"] = {"cached_tokens": read}
    return completion
