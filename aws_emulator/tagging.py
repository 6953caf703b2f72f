"""Tags of hosting objects: the same key overwrites, at most fifty stay."""

from typing import Any

from aws_emulator.objects import Region, Resource
from aws_emulator.wire import AwsError, invalid, open_token, seal_token
from aws_emulator.world import World

_MOST_TAGS = 50
_DEFAULT_PAGE = 50


def tags_from(request: dict[str, Any]) -> dict[str, str]:
    """The tags of a create request. Raises AwsError when a key comes twice."""
    tags: dict[str, str] = {}
    for tag in request.get("Tags") or []:
        if tag["Key"] in tags:
            raise invalid(f"Duplicate tag key {tag['Key']}.")
        tags[tag["Key"]] = tag["Value"]
    return tags


def _owner(region: Region, arn: str) -> Resource:
    kinds: dict[str, Any] = {
        "model": region.models,
        "endpoint-config": region.configs,
        "endpoint": region.endpoints,
        "inference-component": region.components,
        "model-package-group": region.package_groups,
    }
    kind, _, name = arn.rpartition(":")[2].partition("/")
    found: Resource | None = kinds.get(kind, {}).get(name)
    if found is None or found.arn != arn:
        raise invalid(f'Could not find resource "{arn}".')
    return found


def add_tags(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """AddTags; the same key is overwritten."""
    owner = _owner(region, request["ResourceArn"])
    tags = {**owner.tags, **tags_from(request)}
    if len(tags) > _MOST_TAGS:
        raise AwsError("ResourceLimitExceeded", f"A resource can have at most {_MOST_TAGS} tags.")
    owner.tags = tags
    world.touch()
    return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def delete_tags(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """DeleteTags; keys that are not there do no harm."""
    owner = _owner(region, request["ResourceArn"])
    owner.tags = {key: value for key, value in owner.tags.items() if key not in request["TagKeys"]}
    world.touch()
    return {}


def list_tags(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """ListTags, in pages."""
    owner = _owner(region, request["ResourceArn"])
    start = 0
    if "NextToken" in request:
        try:
            start = int(open_token(request["NextToken"]))
        except (ValueError, TypeError) as error:
            raise invalid("Invalid NextToken.") from error
    size = request.get("MaxResults", _DEFAULT_PAGE)
    rows = [{"Key": key, "Value": value} for key, value in owner.tags.items()]
    answer: dict[str, Any] = {"Tags": rows[start : start + size]}
    if len(rows) > start + size:
        answer["NextToken"] = seal_token(start + size)
    return answer
