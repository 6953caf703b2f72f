"""Bedrock's control plane as far as we use it: application inference profiles and their tags.

A profile copies a foundation model of its region, or a system-defined profile (`us.`, `eu.`, `apac.` and a model's id)
that spreads requests over the regions of a geography. It is ACTIVE at once and never changes.
"""

import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote

from aws_emulator.objects import Profile, Region
from aws_emulator.sagemaker import refuse_request
from aws_emulator.shapes import find_faults, refusal, service_model
from aws_emulator.wire import AwsError, Reply, Request, invalid, json_reply, open_token, seal_token
from aws_emulator.world import World

# Models that Bedrock has had (ids as AWS's documentation writes them); a made-up id is refused, as there.
FOUNDATION_MODELS = (
    "amazon.nova-lite-v1:0",
    "amazon.nova-pro-v1:0",
    "anthropic.claude-3-5-sonnet-20241022-v2:0",
    "anthropic.claude-3-haiku-20240307-v1:0",
    "meta.llama3-1-70b-instruct-v1:0",
)
GEOGRAPHIES = {
    "us": ("us-east-1", "us-east-2", "us-west-2"),
    "eu": ("eu-central-1", "eu-north-1", "eu-west-1", "eu-west-3"),
    "apac": ("ap-northeast-1", "ap-northeast-2", "ap-south-1", "ap-southeast-1", "ap-southeast-2"),
}
_SOURCE = re.compile(r"arn:aws:bedrock:([a-z0-9-]+):(\d{12})?:(foundation-model|inference-profile)/(.+)")
_DEFAULT_PAGE = 100
_MOST_PROFILES = 2000
"""Per account and region; a made-up number of the order of AWS's own."""
_ROOT = "/inference-profiles"

Handler = Callable[[World, Region, dict[str, Any]], dict[str, Any]]


def is_ours(request: Request) -> bool:
    """Whether the request is for Bedrock, control plane or runtime: both are signed alike."""
    return request.service == "bedrock"


def answer(world: World, account: str, request: Request) -> Reply:
    """Answer one control plane call. Raises AwsError."""
    operation, parameters = _read(request)
    with world.lock:
        world.calls[operation] += 1
        lost = refuse_request(world, operation, str(parameters.get("inferenceProfileName", "")), of_sagemaker=False)
        found = find_faults(service_model("bedrock").operation_model(operation).input_shape, parameters)
        if found:
            raise invalid(refusal(found))
        reply = json_reply(_OPERATIONS[operation](world, world.region(account, request.region), parameters))
    reply.status = 201 if operation == "CreateInferenceProfile" else 200
    reply.lost = lost
    return reply


def find_profile(region: Region, identifier: str) -> Profile:
    """The application profile of an id or ARN. Raises AwsError ResourceNotFoundException."""
    wanted = identifier.rpartition("/")[2]
    for profile in region.profiles.values():
        if profile.id == wanted and identifier in (profile.id, profile.arn):
            return profile
    raise _missing()


def _missing() -> AwsError:
    return AwsError("ResourceNotFoundException", "The provided inference profile does not exist.", 404)


def _read(request: Request) -> tuple[str, dict[str, Any]]:
    """Operation and parameters of a REST call. Raises AwsError for one that is not known here."""
    path, identifier = request.path, unquote(request.path[len(_ROOT) + 1 :])
    match request.method:
        case "POST" if path == _ROOT:
            return "CreateInferenceProfile", request.json()
        case "POST" if path == "/listTagsForResource":
            return "ListTagsForResource", request.json()
        case "GET" if path == _ROOT:
            query = {name: values[0] for name, values in parse_qs(request.query).items()}
            names = {"type": "typeEquals"}
            found: dict[str, Any] = {names.get(name, name): value for name, value in query.items()}
            return "ListInferenceProfiles", {
                **found,
                **({"maxResults": int(query["maxResults"])} if "maxResults" in query else {}),
            }
        case "GET" if path.startswith(f"{_ROOT}/"):
            return "GetInferenceProfile", {"inferenceProfileIdentifier": identifier}
        case "DELETE" if path.startswith(f"{_ROOT}/"):
            return "DeleteInferenceProfile", {"inferenceProfileIdentifier": identifier}
    raise AwsError("UnknownOperationException", f"The emulator knows no {request.method} {path} of Bedrock.", 404)


def _create(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    name, source = request["inferenceProfileName"], request["modelSource"]["copyFrom"]
    there = region.profiles.get(name)
    if there is not None:
        if request.get("clientRequestToken") == there.token and there.source == source:
            return {"inferenceProfileArn": there.arn, "status": "ACTIVE"}
        raise AwsError("ConflictException", f"An inference profile with the name {name} already exists.", 400)
    if len(region.profiles) >= _MOST_PROFILES:
        raise AwsError("ServiceQuotaExceededException", "Too many inference profiles in this account and region.", 400)
    models = _models_of(region, source)
    now = world.clock.now()
    seed = f"{region.account} {region.name} {name} {now}"
    identifier = hashlib.sha256(seed.encode()).hexdigest()[:12]
    arn = f"arn:aws:bedrock:{region.name}:{region.account}:application-inference-profile/{identifier}"
    tags = {tag["key"]: tag["value"] for tag in request.get("tags") or []}
    region.profiles[name] = Profile(
        name,
        arn,
        now,
        now,
        tags,
        id=identifier,
        source=source,
        models=models,
        token=request.get("clientRequestToken", ""),
    )
    world.touch()
    return {"inferenceProfileArn": arn, "status": "ACTIVE"}


def _models_of(region: Region, source: str) -> list[str]:
    """The ARNs of the models behind a source. Raises AwsError for a source that is not there."""
    match = _SOURCE.fullmatch(source)
    kind, model = (match.group(3), match.group(4)) if match else ("", "")
    if match and match.group(1) == region.name:
        if kind == "foundation-model" and model in FOUNDATION_MODELS:
            return [source]
        known = _system_profiles(region).get(model) if match.group(2) == region.account else None
        if kind == "inference-profile" and known is not None:
            return known
    raise AwsError("ResourceNotFoundException", f"The model source {source} does not exist in {region.name}.", 404)


def _system_profiles(region: Region) -> dict[str, list[str]]:
    """The models' ARNs of each system-defined profile that can be used in the region, by its id."""
    return {
        f"{geography}.{model}": [f"arn:aws:bedrock:{each}::foundation-model/{model}" for each in regions]
        for geography, regions in GEOGRAPHIES.items()
        if region.name in regions
        for model in FOUNDATION_MODELS
    }


def _get(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    identifier = request["inferenceProfileIdentifier"]
    for row in _system_rows(region, world.clock.now()):
        if identifier in (row["inferenceProfileId"], row["inferenceProfileArn"]):
            return row
    return _row(find_profile(region, identifier))


def _list(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    kind = request.get("typeEquals", "SYSTEM_DEFINED")
    rows = (
        [_row(each) for each in sorted(region.profiles.values(), key=lambda each: each.id)]
        if kind == "APPLICATION"
        else _system_rows(region, world.clock.now())
    )
    after = ""
    if "nextToken" in request:
        try:
            after = str(open_token(request["nextToken"]))
        except ValueError as error:
            raise invalid("Invalid nextToken.") from error
    rest = [row for row in rows if row["inferenceProfileId"] > after]
    page = rest[: request.get("maxResults", _DEFAULT_PAGE)]
    more = {"nextToken": seal_token(page[-1]["inferenceProfileId"])} if len(rest) > len(page) else {}
    return {"inferenceProfileSummaries": page, **more}


def _delete(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    profile = find_profile(region, request["inferenceProfileIdentifier"])
    del region.profiles[profile.name]
    world.touch()
    return {}


def _list_tags(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    profile = find_profile(region, request["resourceARN"])
    return {"tags": [{"key": key, "value": value} for key, value in profile.tags.items()]}


def _row(profile: Profile) -> dict[str, Any]:
    return {
        "inferenceProfileName": profile.name,
        "inferenceProfileArn": profile.arn,
        "inferenceProfileId": profile.id,
        "models": [{"modelArn": arn} for arn in profile.models],
        "status": "ACTIVE",
        "type": "APPLICATION",
        "createdAt": _stamp(profile.created_at),
        "updatedAt": _stamp(profile.modified_at),
    }


def _system_rows(region: Region, now: float) -> list[dict[str, Any]]:
    return [
        {
            "inferenceProfileName": name,
            "inferenceProfileArn": f"arn:aws:bedrock:{region.name}:{region.account}:inference-profile/{name}",
            "inferenceProfileId": name,
            "models": [{"modelArn": arn} for arn in models],
            "status": "ACTIVE",
            "type": "SYSTEM_DEFINED",
            "createdAt": _stamp(now),
            "updatedAt": _stamp(now),
        }
        for name, models in sorted(_system_profiles(region).items())
    ]


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


_OPERATIONS: dict[str, Handler] = {
    "CreateInferenceProfile": _create,
    "GetInferenceProfile": _get,
    "ListInferenceProfiles": _list,
    "DeleteInferenceProfile": _delete,
    "ListTagsForResource": _list_tags,
}
