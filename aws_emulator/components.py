"""SageMaker inference components: bases with their own compute, and adapters that ride on a base."""

from typing import Any

from aws_emulator.endpoints import find_endpoint
from aws_emulator.listing import list_page
from aws_emulator.models_and_configs import already_exists, find_model, not_found
from aws_emulator.objects import CREATING, DELETING, FAILED, IN_SERVICE, UPDATING, Component, Endpoint, Region
from aws_emulator.tagging import tags_from
from aws_emulator.wire import invalid
from aws_emulator.world import World


def find_component(region: Region, name: str) -> Component:
    """The component of that name. Raises AwsError "Could not find inference component"."""
    if name not in region.components:
        raise not_found(region, "inference-component", name)
    return region.components[name]


def _settings_from(request: dict[str, Any]) -> dict[str, Any]:
    settings = {key: request[key] for key in ("Specification", "Specifications") if request.get(key)}
    if len(settings) != 1:
        raise invalid("Give exactly one of Specification and Specifications.")
    return settings


def _check_adapter(region: Region, endpoint: Endpoint, request: dict[str, Any]) -> Component:
    specification = request["Specification"]
    for member in ("VariantName", "RuntimeConfig"):
        if member in request:
            raise invalid(f"{member} must not be given for an adapter: it takes that of its base.")
    for member in ("ModelName", "ComputeResourceRequirements", "StartupParameters"):
        if member in specification:
            raise invalid(f"{member} must not be given for an adapter: it takes that of its base.")
    if not specification.get("Container", {}).get("ArtifactUrl"):
        raise invalid("An adapter needs Container.ArtifactUrl.")
    base = find_component(region, specification["BaseInferenceComponentName"])
    if base.base_name:
        raise invalid(f'Inference component "{base.arn}" is itself an adapter and cannot be a base.')
    if base.endpoint_name != endpoint.name:
        raise invalid(f'Base inference component "{base.arn}" is not on endpoint "{endpoint.arn}".')
    if base.status != IN_SERVICE:
        raise invalid(f'Base inference component "{base.arn}" must be InService, but is {base.status}.')
    return base


def _check_base(region: Region, endpoint: Endpoint, request: dict[str, Any], settings: dict[str, Any]) -> None:
    if not request.get("VariantName"):
        raise invalid("VariantName is required for a base inference component.")
    if endpoint.variant(request["VariantName"]) is None:
        raise invalid(f'Could not find variant {request["VariantName"]} of endpoint "{endpoint.arn}".')
    if not request.get("RuntimeConfig"):
        raise invalid("RuntimeConfig is required for a base inference component.")
    for specification in settings.get("Specifications") or [settings["Specification"]]:
        _check_base_specification(region, specification)


def _check_base_specification(region: Region, specification: dict[str, Any]) -> None:
    if "ModelName" in specification:
        find_model(region, specification["ModelName"])
    elif not specification.get("Container", {}).get("Image"):
        raise invalid("A base inference component needs a ModelName or a Container with an Image.")
    needs = specification.get("ComputeResourceRequirements")
    if not needs:
        raise invalid("ComputeResourceRequirements is required for a base inference component.")
    if needs.get("MaxMemoryRequiredInMb", needs["MinMemoryRequiredInMb"]) < needs["MinMemoryRequiredInMb"]:
        raise invalid("MaxMemoryRequiredInMb must not be less than MinMemoryRequiredInMb.")


def create_inference_component(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """CreateInferenceComponent, base or adapter."""
    name = request["InferenceComponentName"]
    if name in region.components:
        raise already_exists(region, "inference-component", name)
    endpoint = find_endpoint(region, request["EndpointName"])
    if not endpoint.config.takes_components:
        raise invalid(f'Endpoint "{endpoint.arn}" serves models and cannot take inference components.')
    if endpoint.status != IN_SERVICE:
        raise invalid(f'Endpoint "{endpoint.arn}" must be InService, but is {endpoint.status}.')
    settings = _settings_from(request)
    now = world.clock.now()
    component = Component(name, region.arn("inference-component", name), now, now, tags_from(request))
    component.endpoint_name, component.settings = endpoint.name, settings
    if settings.get("Specification", {}).get("BaseInferenceComponentName"):
        component.variant_name = _check_adapter(region, endpoint, request).variant_name
    else:
        _check_base(region, endpoint, request, settings)
        component.variant_name = request["VariantName"]
        component.copies = request["RuntimeConfig"]["CopyCount"]
    region.components[name] = component
    world.start(region, component, CREATING, "component", "CreateInferenceComponent")
    return {"InferenceComponentArn": component.arn}


def _check_can_change(component: Component) -> None:
    if component.status != IN_SERVICE:
        raise invalid(f'Cannot update inference component "{component.arn}" in status {component.status}.')


def update_inference_component(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """UpdateInferenceComponent: what a specification does not name stays; a failed update rolls back."""
    component = find_component(region, request["InferenceComponentName"])
    _check_can_change(component)
    if "Specification" in request or "Specifications" in request:
        settings = _settings_from(request)
        if "Specification" in settings and "Specification" in component.settings:
            settings = {"Specification": {**component.specification, **settings["Specification"]}}
        wanted = settings.get("Specification") or settings["Specifications"][0]
        if wanted.get("BaseInferenceComponentName", "") != component.base_name:
            raise invalid("The base of an inference component cannot be changed.")
        if component.base_name and not wanted.get("Container", {}).get("ArtifactUrl"):
            raise invalid("An adapter needs Container.ArtifactUrl.")
        if not component.base_name:
            for specification in settings.get("Specifications") or [wanted]:
                _check_base_specification(region, specification)
        component.next_settings = settings
    if "RuntimeConfig" in request:
        _set_copies(component, request["RuntimeConfig"])
    component.deployment = request.get("DeploymentConfig", component.deployment)
    world.start(region, component, UPDATING, "update", "UpdateInferenceComponent")
    return {"InferenceComponentArn": component.arn}


def _set_copies(component: Component, runtime: dict[str, Any]) -> None:
    if component.base_name:
        component.next_settings = None
        raise invalid("RuntimeConfig must not be given for an adapter: its copies follow its base.")
    component.next_copies = runtime["CopyCount"]


def update_inference_component_runtime_config(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """UpdateInferenceComponentRuntimeConfig: another number of copies, 0 included."""
    component = find_component(region, request["InferenceComponentName"])
    _check_can_change(component)
    _set_copies(component, request["DesiredRuntimeConfig"])
    world.start(region, component, UPDATING, "update", "UpdateInferenceComponentRuntimeConfig")
    return {"InferenceComponentArn": component.arn}


def delete_inference_component(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """DeleteInferenceComponent; a base takes its adapters with it."""
    component = find_component(region, request["InferenceComponentName"])
    if component.status not in (IN_SERVICE, FAILED):
        raise invalid(f'Cannot delete inference component "{component.arn}" in status {component.status}.')
    if not component.base_name:
        for adapter in region.adapters_on(component.name):
            if adapter.status != DELETING:
                world.start(region, adapter, DELETING, "delete")
    world.start(region, component, DELETING, "delete")
    return {}


def _describe_specification(component: Component, specification: dict[str, Any]) -> dict[str, Any]:
    row = dict(specification)
    container = dict(row.pop("Container", {}))
    image = container.pop("Image", None)
    if image:
        resolved = {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": component.created_at}
        container["DeployedImage"] = resolved
    if container:
        row["Container"] = container
    return row


def describe_inference_component(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeInferenceComponent; counts as one look."""
    name = request["InferenceComponentName"]
    world.settle_looked_at(region, [find_component(region, name)])
    component = find_component(region, name)
    answer: dict[str, Any] = {
        "InferenceComponentName": component.name,
        "InferenceComponentArn": component.arn,
        "EndpointName": component.endpoint_name,
        "EndpointArn": region.arn("endpoint", component.endpoint_name),
        "VariantName": component.variant_name,
        "InferenceComponentStatus": component.status,
        "CreationTime": component.created_at,
        "LastModifiedTime": component.modified_at,
    }
    if "Specifications" in component.settings:
        given = component.settings["Specifications"]
        answer["Specifications"] = [_describe_specification(component, specification) for specification in given]
    else:
        answer["Specification"] = _describe_specification(component, component.specification)
    if not component.base_name:
        running = component.status in (IN_SERVICE, UPDATING)
        answer["RuntimeConfig"] = {
            "DesiredCopyCount": component.copies if component.next_copies is None else component.next_copies,
            "CurrentCopyCount": component.copies if running else 0,
        }
    if component.failure_reason:
        answer["FailureReason"] = component.failure_reason
    if component.deployment:
        answer["LastDeploymentConfig"] = component.deployment
    world.look(component)
    return answer


def list_inference_components(world: World, region: Region, request: dict[str, Any]) -> dict[str, Any]:
    """ListInferenceComponents; counts as one look at every row given."""
    world.settle_looked_at(region, list(region.components.values()))
    return list_page(world, region.components.values(), request, "InferenceComponents", lambda component: {
        "InferenceComponentName": component.name,
        "InferenceComponentArn": component.arn,
        "EndpointName": component.endpoint_name,
        "EndpointArn": region.arn("endpoint", component.endpoint_name),
        "VariantName": component.variant_name,
        "InferenceComponentStatus": component.status,
        "CreationTime": component.created_at,
        "LastModifiedTime": component.modified_at,
    })  # fmt: skip
