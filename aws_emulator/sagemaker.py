"""The SageMaker control plane: finds the operation, checks the request by its shape, calls the handler."""

from collections.abc import Callable
from typing import Any

from aws_emulator import components, endpoints, models_and_configs, packages, tagging
from aws_emulator.faults import ON_REQUEST
from aws_emulator.objects import Region
from aws_emulator.shapes import find_faults, refusal, service_model
from aws_emulator.wire import AwsError, Reply, Request, invalid, json_reply
from aws_emulator.world import World

Handler = Callable[[World, Region, dict[str, Any]], dict[str, Any]]
OPERATIONS: dict[str, Handler] = {
    "CreateModel": models_and_configs.create_model,
    "DescribeModel": models_and_configs.describe_model,
    "ListModels": models_and_configs.list_models,
    "DeleteModel": models_and_configs.delete_model,
    "CreateEndpointConfig": models_and_configs.create_endpoint_config,
    "DescribeEndpointConfig": models_and_configs.describe_endpoint_config,
    "ListEndpointConfigs": models_and_configs.list_endpoint_configs,
    "DeleteEndpointConfig": models_and_configs.delete_endpoint_config,
    "CreateEndpoint": endpoints.create_endpoint,
    "DescribeEndpoint": endpoints.describe_endpoint,
    "ListEndpoints": endpoints.list_endpoints,
    "UpdateEndpoint": endpoints.update_endpoint,
    "UpdateEndpointWeightsAndCapacities": endpoints.update_endpoint_weights_and_capacities,
    "DeleteEndpoint": endpoints.delete_endpoint,
    "CreateInferenceComponent": components.create_inference_component,
    "DescribeInferenceComponent": components.describe_inference_component,
    "ListInferenceComponents": components.list_inference_components,
    "UpdateInferenceComponent": components.update_inference_component,
    "UpdateInferenceComponentRuntimeConfig": components.update_inference_component_runtime_config,
    "DeleteInferenceComponent": components.delete_inference_component,
    "CreateModelPackageGroup": packages.create_model_package_group,
    "DescribeModelPackageGroup": packages.describe_model_package_group,
    "ListModelPackageGroups": packages.list_model_package_groups,
    "DeleteModelPackageGroup": packages.delete_model_package_group,
    "CreateModelPackage": packages.create_model_package,
    "DescribeModelPackage": packages.describe_model_package,
    "ListModelPackages": packages.list_model_packages,
    "UpdateModelPackage": packages.update_model_package,
    "DeleteModelPackage": packages.delete_model_package,
    "AddTags": tagging.add_tags,
    "ListTags": tagging.list_tags,
    "DeleteTags": tagging.delete_tags,
}
_NAMES = (
    "InferenceComponentName",
    "EndpointName",
    "EndpointConfigName",
    "ModelName",
    "ModelPackageName",
    "ModelPackageArn",
    "ModelPackageGroupName",
    "ResourceArn",
)


def primary_name(request: dict[str, Any]) -> str:
    """The name of the object a request is about, by which faults are aimed; empty for lists."""
    for member in _NAMES:
        if isinstance(request.get(member), str):
            return str(request[member])
    return ""


def refuse_request(world: World, operation: str, name: str, *, of_sagemaker: bool = True) -> bool:
    """Let an ordered request fault strike. True: do the work, but lose the reply.

    Raises AwsError for a throttled call and for a server error.
    """
    fault = world.faults.take(ON_REQUEST, operation, name, of_sagemaker=of_sagemaker)
    if fault is None:
        return False
    if fault.fault == "throttle":
        raise AwsError("ThrottlingException", fault.reason or "Rate exceeded")
    if fault.fault == "server_error":
        raise AwsError("InternalFailure", fault.reason or "The request processing has failed.", 500)
    return True


def answer(world: World, account: str, request: Request) -> Reply:
    """Answer one control plane call. Raises AwsError."""
    operation = request.target.rpartition(".")[2]
    handler = OPERATIONS.get(operation)
    if handler is None:
        raise AwsError("UnknownOperationException", f"The emulator does not know the operation {operation}.")
    parameters = {key: value for key, value in request.json().items() if value is not None}
    name = primary_name(parameters)
    with world.lock:
        world.calls[operation] += 1
        if not world.throttle.lets_through(account, request.region, operation):
            raise AwsError("ThrottlingException", "Rate exceeded")
        lost = refuse_request(world, operation, name)
        if world.faults.take(("vanish",), operation, name) is not None:
            world.vanish(lambda found: found == name, 1)
        found = find_faults(service_model("sagemaker").operation_model(operation).input_shape, parameters)
        if found:
            raise invalid(refusal(found))
        region = world.region(account, request.region)
        reply = json_reply(handler(world, region, parameters))
    reply.lost = lost
    return reply
