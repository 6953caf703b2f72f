"""SageMaker endpoints: create, update (or roll back), re-scale, delete; within the account's instance quotas."""

import copy
from collections import Counter
from typing import Any

from aws_emulator.listing import list_page
from aws_emulator.models_and_configs import already_exists, find_config, not_found
from aws_emulator.objects import (
    CREATING,
    DELETING,
    FAILED,
    IN_SERVICE,
    UPDATING,
    Endpoint,
    Region,
    first_fleet,
    instances_of,
)
from aws_emulator.tagging import tags_from
from aws_emulator.wire import AwsError, invalid
from aws_emulator.world import World


def find_endpoint(region: Region, name: str) -> Endpoint:
    """The endpoint of that name. Raises AwsError "Could not find endpoint"."""
    if name not in region.endpoints:
        raise not_found(region, "endpoint", name)
    return region.endpoints[name]


def _check_quota(world: World, region: Region, more: Counter[str]) -> None:
    held = region.instances()
    for kind, count in more.items():
        limit = world.controls.quota(region.account, region.name, kind)
        if held[kind] + count > limit:
            raise AwsError(
                "ResourceLimitExceeded",
                f"The account-level service limit '{kind} for endpoint usage' is {limit} Instances, with current "
                f"utilization of {held[kind]} Instances and a request delta of {count} Instances. Please use AWS "
                "Service Quotas to request an increase for this quota.",
            )


def create_endpoint(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """CreateEndpoint; the quota answers at once, missing capacity only in the life cycle."""
    name = request["EndpointName"]
    if name in region.endpoints:
        raise already_exists(region, "endpoint", name)
    config = copy.deepcopy(find_config(region, request["EndpointConfigName"]))
    tags = tags_from(request)
    fleet = first_fleet(config)
    _check_quota(world, region, instances_of(config, fleet))
    now = world.clock.now()
    endpoint = Endpoint(name, region.arn("endpoint", name), now, now, tags, config=config, fleet=fleet)
    endpoint.deployment = request.get("DeploymentConfig")
    region.endpoints[name] = endpoint
    world.start(region, endpoint, CREATING, "endpoint", "CreateEndpoint")
    return {"EndpointArn": endpoint.arn}


def _check_can_change(endpoint: Endpoint) -> None:
    if endpoint.status == FAILED:
        raise invalid(f'Cannot update endpoint "{endpoint.arn}" in status Failed; it can only be deleted.')
    if endpoint.status != IN_SERVICE:
        raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')


def update_endpoint(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """UpdateEndpoint: a second fleet on the new config, then InService on it, or rolled back to the old one."""
    endpoint = find_endpoint(region, request["EndpointName"])
    config = copy.deepcopy(find_config(region, request["EndpointConfigName"]))
    _check_can_change(endpoint)
    if config.takes_components != endpoint.config.takes_components:
        raise invalid("An endpoint cannot change between models and inference components.")
    names = {variant["VariantName"] for variant in config.request["ProductionVariants"]}
    for component in region.components_on(endpoint.name):
        if component.variant_name not in names:
            raise invalid(f'Variant {component.variant_name} still carries inference component "{component.arn}".')
    fleet = first_fleet(config)
    if request.get("RetainAllVariantProperties"):
        left_out = {item["VariantPropertyType"] for item in request.get("ExcludeRetainedVariantProperties", [])}
        for name in names & endpoint.fleet.keys():
            weight, count = endpoint.fleet[name]
            fleet[name] = (
                fleet[name][0] if "DesiredWeight" in left_out else weight,
                fleet[name][1] if "DesiredInstanceCount" in left_out else count,
            )
    _check_quota(world, region, instances_of(config, fleet))
    endpoint.next_config, endpoint.next_fleet = config, fleet
    if not request.get("RetainDeploymentConfig"):
        endpoint.deployment = request.get("DeploymentConfig")
    world.start(region, endpoint, UPDATING, "update", "UpdateEndpoint")
    return {"EndpointArn": endpoint.arn}


def update_endpoint_weights_and_capacities(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """UpdateEndpointWeightsAndCapacities: what is not given stays."""
    endpoint = find_endpoint(region, request["EndpointName"])
    _check_can_change(endpoint)
    fleet = dict(endpoint.fleet)
    for wish in request["DesiredWeightsAndCapacities"]:
        if wish["VariantName"] not in fleet:
            raise invalid(f'Could not find variant {wish["VariantName"]} of endpoint "{endpoint.arn}".')
        weight, count = fleet[wish["VariantName"]]
        fleet[wish["VariantName"]] = (wish.get("DesiredWeight", weight), wish.get("DesiredInstanceCount", count))
    _check_quota(world, region, instances_of(endpoint.config, fleet) - instances_of(endpoint.config, endpoint.fleet))
    endpoint.next_fleet = fleet
    world.start(region, endpoint, UPDATING, "update", "UpdateEndpointWeightsAndCapacities")
    return {"EndpointArn": endpoint.arn}


def delete_endpoint(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """DeleteEndpoint; refused while it is under way or carries inference components."""
    endpoint = find_endpoint(region, request["EndpointName"])
    if endpoint.status not in (IN_SERVICE, FAILED):
        raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')
    components = region.components_on(endpoint.name)
    if components:
        raise invalid(
            f'Cannot delete endpoint "{endpoint.arn}": inference components still exist on it: '
            f"{', '.join(sorted(component.name for component in components)[:5])}."
        )
    world.start(region, endpoint, DELETING, "delete")
    return {}


def _describe_variants(region: Region, endpoint: Endpoint) -> list[dict[str, Any]]:
    rows = []
    for variant in endpoint.config.request["ProductionVariants"]:
        name = variant["VariantName"]
        weight, count = endpoint.fleet[name]
        row: dict[str, Any] = {"VariantName": name, "CurrentWeight": weight, "DesiredWeight": weight}
        if "ServerlessConfig" in variant:
            row["CurrentServerlessConfig"] = variant["ServerlessConfig"]
        else:
            row["CurrentInstanceCount"] = row["DesiredInstanceCount"] = count
        if endpoint.next_fleet is not None and endpoint.next_config is None:
            row["DesiredWeight"], row["DesiredInstanceCount"] = endpoint.next_fleet[name]
        for kept in ("ManagedInstanceScaling", "RoutingConfig"):
            if kept in variant:
                row[kept] = variant[kept]
        if name in endpoint.loaded and endpoint.loaded[name].base.split(" ")[0]:
            image = endpoint.loaded[name].base.split(" ")[0]
            row["DeployedImages"] = [
                {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": endpoint.created_at}
            ]
        rows.append(row)
    return rows


def describe_endpoint(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeEndpoint; counts as one look."""
    name = request["EndpointName"]
    world.settle_looked_at(region, [find_endpoint(region, name)])
    endpoint = find_endpoint(region, name)
    answer: dict[str, Any] = {
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "EndpointConfigName": endpoint.config.name,
        "EndpointStatus": endpoint.status,
        "CreationTime": endpoint.created_at,
        "LastModifiedTime": endpoint.modified_at,
    }
    if endpoint.status != CREATING:
        answer["ProductionVariants"] = _describe_variants(region, endpoint)
    coming = endpoint.config if endpoint.status == CREATING else endpoint.next_config
    if coming is not None:
        answer["PendingDeploymentSummary"] = {
            "EndpointConfigName": coming.name,
            "ProductionVariants": [{"VariantName": v["VariantName"]} for v in coming.request["ProductionVariants"]],
            "StartTime": endpoint.modified_at,
        }
    if endpoint.failure_reason:
        answer["FailureReason"] = endpoint.failure_reason
    if endpoint.deployment:
        answer["LastDeploymentConfig"] = endpoint.deployment
    if "MetricsConfig" in endpoint.config.request:
        answer["MetricsConfig"] = endpoint.config.request["MetricsConfig"]
    world.look(endpoint)
    return answer


def list_endpoints(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """ListEndpoints; counts as one look at every row given."""
    world.settle_looked_at(region, list(region.endpoints.values()))
    return list_page(world, region.endpoints.values(), request, "Endpoints", lambda endpoint: {
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "CreationTime": endpoint.created_at,
        "LastModifiedTime": endpoint.modified_at,
        "EndpointStatus": endpoint.status,
    })  # fmt: skip
