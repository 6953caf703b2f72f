"""SageMaker models and endpoint configs: immutable, and deletable even while in use."""

from typing import Any

from aws_emulator.listing import list_page
from aws_emulator.objects import EndpointConfig, Model, Region
from aws_emulator.tagging import tags_from
from aws_emulator.wire import AwsError, invalid
from aws_emulator.world import World, remove

_ENVIRONMENT_LIMIT_BYTES = 32 * 1024


def not_found(region: Region, kind: str, name: str) -> AwsError:
    """The answer for an object that is not there; `kind` as in ARNs."""
    return invalid(
        f"Could not find {kind.replace('endpoint-config', 'endpoint configuration').replace('-', ' ')} "
        f'"{region.arn(kind, name)}".'
    )


def already_exists(region: Region, kind: str, name: str) -> AwsError:
    """The answer for a name that is taken; `kind` as in ARNs."""
    return invalid(
        f"Cannot create already existing {kind.replace('-config', ' configuration').replace('-', ' ')} "
        f'"{region.arn(kind, name)}".'
    )


def find_model(region: Region, name: str) -> Model:
    """The model of that name. Raises AwsError "Could not find model"."""
    if name not in region.models:
        raise not_found(region, "model", name)
    return region.models[name]


def find_config(region: Region, name: str) -> EndpointConfig:
    """The endpoint config of that name. Raises AwsError "Could not find endpoint configuration"."""
    if name not in region.configs:
        raise not_found(region, "endpoint-config", name)
    return region.configs[name]


def _check_container(container: dict[str, Any]) -> None:
    if "Image" not in container and "ModelPackageName" not in container:
        raise invalid("A container needs an Image or a ModelPackageName.")
    if "ModelDataUrl" in container and "ModelDataSource" in container:
        raise invalid("ModelDataUrl and ModelDataSource cannot be used together.")
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    if source.get("S3DataType") == "S3Prefix" and not source["S3Uri"].endswith("/"):
        raise invalid(f"S3Uri {source['S3Uri']} must end with a forward slash when S3DataType is S3Prefix.")


def create_model(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """CreateModel."""
    name = request["ModelName"]
    if ("PrimaryContainer" in request) == ("Containers" in request):
        raise invalid("Give exactly one of PrimaryContainer and Containers.")
    containers = request.get("Containers") or [request.get("PrimaryContainer") or {}]
    for container in containers:
        _check_container(container)
    pairs = [pair for container in containers for pair in container.get("Environment", {}).items()]
    if sum(len(key.encode()) + len(value.encode()) for key, value in pairs) > _ENVIRONMENT_LIMIT_BYTES:
        raise invalid("The environment of all containers together must not exceed 32 KB.")
    tags = tags_from(request)
    if name in region.models:
        raise already_exists(region, "model", name)
    now = world.clock.now()
    model = Model(name, region.arn("model", name), now, now, tags, request=request)
    region.models[name] = model
    world.touch()
    return {"ModelArn": model.arn}


def describe_model(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeModel."""
    model = find_model(region, request["ModelName"])
    kept = {key: value for key, value in model.request.items() if key != "Tags"}
    kept.setdefault("EnableNetworkIsolation", False)
    return {**kept, "ModelArn": model.arn, "CreationTime": model.created_at}


def list_models(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """ListModels."""
    return list_page(world, region.models.values(), request, "Models", lambda model: {
        "ModelName": model.name, "ModelArn": model.arn, "CreationTime": model.created_at,
    })  # fmt: skip


def delete_model(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """DeleteModel; what already loaded it keeps running."""
    remove(region, find_model(region, request["ModelName"]))
    world.touch()
    return {}


def _check_variant(region: Region, variant: dict[str, Any]) -> None:
    name = variant["VariantName"]
    if variant.get("ModelName"):
        find_model(region, variant["ModelName"])
    shapes = [key for key in ("InstanceType", "InstancePools", "ServerlessConfig") if key in variant]
    if len(shapes) != 1:
        raise invalid(f"Variant {name} needs exactly one of InstanceType, InstancePools and ServerlessConfig.")
    if "ServerlessConfig" in variant:
        if not variant.get("ModelName"):
            raise invalid(f"Serverless variant {name} needs a ModelName.")
    elif "InitialInstanceCount" not in variant:
        raise invalid(f"Variant {name} needs an InitialInstanceCount.")
    scaling = variant.get("ManagedInstanceScaling", {})
    if scaling.get("MinInstanceCount", 0) > scaling.get("MaxInstanceCount", float("inf")):
        raise invalid(f"Variant {name}: MinInstanceCount must not exceed MaxInstanceCount.")
    routing = variant.get("RoutingConfig", {})
    if routing.get("RoutingStrategy") == "PREFIX_AWARE" and len(routing.get("PrefixAwareRoutingConfig", {})) != 2:
        raise invalid(f"Variant {name}: PREFIX_AWARE needs PrefixLength and ConcurrencyThreshold.")


def create_endpoint_config(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """CreateEndpointConfig, with a model in every variant or, for inference components, in none."""
    name = request["EndpointConfigName"]
    variants = request["ProductionVariants"]
    if len({variant["VariantName"] for variant in variants}) != len(variants):
        raise invalid("Variant names must be unique in an endpoint configuration.")
    if len({bool(variant.get("ModelName")) for variant in variants}) != 1:
        raise invalid("Either every variant names a model or, for inference components, none does.")
    for variant in variants:
        _check_variant(region, variant)
    if not variants[0].get("ModelName") and "ExecutionRoleArn" not in request:
        raise invalid("An endpoint configuration without models needs an ExecutionRoleArn.")
    tags = tags_from(request)
    if name in region.configs:
        raise already_exists(region, "endpoint-config", name)
    now = world.clock.now()
    config = EndpointConfig(name, region.arn("endpoint-config", name), now, now, tags, request=request)
    region.configs[name] = config
    world.touch()
    return {"EndpointConfigArn": config.arn}


def describe_endpoint_config(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeEndpointConfig."""
    config = find_config(region, request["EndpointConfigName"])
    kept = {key: value for key, value in config.request.items() if key != "Tags"}
    kept["ProductionVariants"] = [{"InitialVariantWeight": 1.0, **v} for v in kept["ProductionVariants"]]
    kept.setdefault("EnableNetworkIsolation", False)
    return {**kept, "EndpointConfigArn": config.arn, "CreationTime": config.created_at}


def list_endpoint_configs(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """ListEndpointConfigs."""
    return list_page(world, region.configs.values(), request, "EndpointConfigs", lambda config: {
        "EndpointConfigName": config.name, "EndpointConfigArn": config.arn, "CreationTime": config.created_at,
    })  # fmt: skip


def delete_endpoint_config(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """DeleteEndpointConfig; AWS accepts it even while an endpoint runs it."""
    remove(region, find_config(region, request["EndpointConfigName"]))
    world.touch()
    return {}
