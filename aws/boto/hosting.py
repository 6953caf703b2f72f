"""SageMaker hosting: models, endpoint configs, endpoints, inference components; its registry; Bedrock's profiles."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from aws.boto import inference_profiles, model_registry
from aws.boto.inference_profiles import BotoInferenceProfiles
from aws.boto.model_registry import BotoModelRegistry
from aws.boto.translate import call, classify_failure, request_id
from aws.gateway import (
    IN_SERVICE,
    VARIANT_NAME,
    AdapterComponentSpec,
    BaseComponentSpec,
    EndpointConfigSpec,
    EndpointSpec,
    HostedSpec,
    HostingKind,
    InferenceProfileSpec,
    ModelSpec,
    PackageGroupSpec,
    PackageSpec,
    Receipt,
    Sighting,
)

PAGE_SIZE = 100


class _Shape(NamedTuple):
    """How SageMaker spells one kind: operation stem, list operation and key, name, ARN and status members."""

    stem: str
    plural: str
    status: str

    @property
    def name(self) -> str:
        return f"{self.stem}Name"

    @property
    def arn(self) -> str:
        return f"{self.stem}Arn"


_SHAPES: Mapping[HostingKind, _Shape] = {
    "model": _Shape("Model", "Models", ""),
    "endpoint_config": _Shape("EndpointConfig", "EndpointConfigs", ""),
    "endpoint": _Shape("Endpoint", "Endpoints", "EndpointStatus"),
    "component": _Shape("InferenceComponent", "InferenceComponents", "InferenceComponentStatus"),
}
_SNAKE: Mapping[HostingKind, tuple[str, str]] = {
    "model": ("model", "models"),
    "endpoint_config": ("endpoint_config", "endpoint_configs"),
    "endpoint": ("endpoint", "endpoints"),
    "component": ("inference_component", "inference_components"),
}


class BotoHosting:
    """`HostingGateway` over a boto3 `sagemaker` client, and a `bedrock` client that is made when it is needed."""

    def __init__(self, client: Any, bedrock: Callable[[], Any]) -> None:
        self._client = client
        self._bedrock = bedrock

    def create(self, spec: HostedSpec, *, tags: Mapping[str, str]) -> Receipt:
        """See HostingGateway.create."""
        if isinstance(spec, InferenceProfileSpec):
            return self._profiles.create(spec, tags=tags)
        if isinstance(spec, PackageGroupSpec | PackageSpec):
            return self._registry.create(spec, tags=tags)
        kind, arguments = creation_arguments(spec)
        arguments["Tags"] = [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
        shape = _SHAPES[kind]
        method = getattr(self._client, f"create_{_SNAKE[kind][0]}")
        reply = call(method, f"Create{shape.stem}", shape.arn, **arguments)
        return Receipt(request_id=request_id(reply), arn=reply[shape.arn])

    def point_endpoint(self, name: str, *, config_name: str) -> Receipt:
        """See HostingGateway.point_endpoint."""
        reply = call(
            self._client.update_endpoint,
            "UpdateEndpoint",
            "EndpointArn",
            EndpointName=name,
            EndpointConfigName=config_name,
        )
        return Receipt(request_id=request_id(reply), arn=reply["EndpointArn"])

    def set_copies(self, name: str, *, copies: int) -> Receipt:
        """See HostingGateway.set_copies."""
        reply = call(
            self._client.update_inference_component_runtime_config,
            "UpdateInferenceComponentRuntimeConfig",
            "InferenceComponentArn",
            InferenceComponentName=name,
            DesiredRuntimeConfig={"CopyCount": copies},
        )
        return Receipt(request_id=request_id(reply), arn=reply["InferenceComponentArn"])

    def set_approval(self, handle: str, *, approval: str, note: str) -> Receipt:
        """See HostingGateway.set_approval."""
        return self._registry.set_approval(handle, approval=approval, note=note)

    def delete(self, kind: HostingKind, name: str) -> Receipt:
        """See HostingGateway.delete."""
        if kind in model_registry.KINDS:
            return self._registry.delete(kind, name)
        if kind == inference_profiles.KIND:
            return self._profiles.delete(name)
        shape = _SHAPES[kind]
        method = getattr(self._client, f"delete_{_SNAKE[kind][0]}")
        return Receipt(request_id=request_id(call(method, f"Delete{shape.stem}", **{shape.name: name})))

    def describe(self, kind: HostingKind, name: str) -> Sighting:
        """See HostingGateway.describe."""
        if kind in model_registry.KINDS:
            return self._registry.describe(kind, name)
        if kind == inference_profiles.KIND:
            return self._profiles.describe(name)
        shape = _SHAPES[kind]
        method = getattr(self._client, f"describe_{_SNAKE[kind][0]}")
        needed = [shape.name, shape.arn, "CreationTime", *([shape.status] if shape.status else [])]
        reply = call(method, f"Describe{shape.stem}", *needed, **{shape.name: name})
        return detailed_sighting(kind, reply)

    def list(self, kind: HostingKind, *, name_contains: str = "", group: str = "") -> dict[str, Sighting]:
        """See HostingGateway.list."""
        if kind in model_registry.KINDS:
            return self._registry.list(kind, name_contains=name_contains, group=group)
        if kind == inference_profiles.KIND:
            return self._profiles.list(name_contains=name_contains)
        shape, found, token = _SHAPES[kind], {}, None
        method = getattr(self._client, f"list_{_SNAKE[kind][1]}")
        # Oldest first: an object made while we page comes last, so no page boundary moves over an unread one.
        arguments: dict[str, Any] = {"MaxResults": PAGE_SIZE, "SortBy": "CreationTime", "SortOrder": "Ascending"}
        if name_contains:
            arguments["NameContains"] = name_contains
        while True:
            reply = call(
                method, f"List{shape.plural}", shape.plural, **arguments, **({"NextToken": token} if token else {})
            )
            for summary in reply[shape.plural]:
                sighting = listed_sighting(kind, summary, request_id(reply))
                found[sighting.name] = sighting
            token = reply.get("NextToken")
            if not token:
                return found

    def tags(self, arn: str) -> dict[str, str]:
        """See HostingGateway.tags."""
        if inference_profiles.is_profile(arn):
            return self._profiles.tags(arn)
        if model_registry.is_package(arn):
            return self._registry.tags(arn)
        found: dict[str, str] = {}
        token: str | None = None
        while True:
            extra = {"NextToken": token} if token else {}
            reply = call(self._client.list_tags, "ListTags", "Tags", ResourceArn=arn, **extra)
            found.update({tag["Key"]: tag["Value"] for tag in reply["Tags"]})
            token = reply.get("NextToken")
            if not token:
                return found

    @property
    def _registry(self) -> BotoModelRegistry:
        return BotoModelRegistry(self._client)

    @property
    def _profiles(self) -> BotoInferenceProfiles:
        return BotoInferenceProfiles(self._bedrock())


SageMakerSpec = ModelSpec | EndpointConfigSpec | EndpointSpec | BaseComponentSpec | AdapterComponentSpec


def creation_arguments(spec: SageMakerSpec) -> tuple[HostingKind, dict[str, Any]]:
    """The kind and the Create call's arguments (without tags) for a spec."""
    match spec:
        case ModelSpec():
            return "model", _model_arguments(spec)
        case EndpointConfigSpec():
            return "endpoint_config", _endpoint_config_arguments(spec)
        case EndpointSpec():
            return "endpoint", {"EndpointName": spec.name, "EndpointConfigName": spec.config_name}
        case BaseComponentSpec():
            return "component", _base_component_arguments(spec)
        case AdapterComponentSpec():
            # No VariantName, RuntimeConfig or compute: an adapter borrows its base's (botocore's own text).
            return "component", {
                "InferenceComponentName": spec.name,
                "EndpointName": spec.endpoint_name,
                "Specification": {
                    "BaseInferenceComponentName": spec.base_component_name,
                    "Container": {"ArtifactUrl": spec.artifact_url},
                },
            }


def _model_arguments(spec: ModelSpec) -> dict[str, Any]:
    container: dict[str, Any] = {"Image": spec.image, "Environment": dict(spec.environment)}
    if spec.model_data_uri.endswith("/"):
        source = {"S3Uri": spec.model_data_uri, "S3DataType": "S3Prefix", "CompressionType": "None"}
        container["ModelDataSource"] = {"S3DataSource": source}
    else:
        container["ModelDataUrl"] = spec.model_data_uri
    return {"ModelName": spec.name, "PrimaryContainer": container, "ExecutionRoleArn": spec.execution_role_arn}


def _endpoint_config_arguments(spec: EndpointConfigSpec) -> dict[str, Any]:
    variant = {
        "VariantName": VARIANT_NAME,
        "InstanceType": spec.instance_type,
        "InitialInstanceCount": spec.instance_count,
        "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
    }
    if spec.max_instance_count > spec.instance_count:
        variant["ManagedInstanceScaling"] = {
            "Status": "ENABLED",
            "MinInstanceCount": spec.instance_count,
            "MaxInstanceCount": spec.max_instance_count,
        }
    return {
        "EndpointConfigName": spec.name,
        "ExecutionRoleArn": spec.execution_role_arn,
        "ProductionVariants": [variant],
    }


def _base_component_arguments(spec: BaseComponentSpec) -> dict[str, Any]:
    return {
        "InferenceComponentName": spec.name,
        "EndpointName": spec.endpoint_name,
        "VariantName": VARIANT_NAME,
        "RuntimeConfig": {"CopyCount": spec.copies},
        "Specification": {
            "ModelName": spec.model_name,
            "ComputeResourceRequirements": {
                "NumberOfAcceleratorDevicesRequired": spec.accelerators,
                "MinMemoryRequiredInMb": spec.min_memory_mb,
            },
        },
    }


def listed_sighting(kind: HostingKind, summary: Mapping[str, Any], asked: str) -> Sighting:
    """A Sighting from one entry of a List answer."""
    shape = _SHAPES[kind]
    return Sighting(
        kind=kind,
        name=summary[shape.name],
        arn=summary[shape.arn],
        status=summary[shape.status] if shape.status else IN_SERVICE,
        created_at=summary["CreationTime"],
        modified_at=summary.get("LastModifiedTime"),
        endpoint_name=summary.get("EndpointName", "") if kind == "component" else "",
        request_id=asked,
    )


def detailed_sighting(kind: HostingKind, reply: Mapping[str, Any]) -> Sighting:
    """A Sighting from a Describe answer."""
    shape = _SHAPES[kind]
    specification = reply.get("Specification") or {}
    runtime = reply.get("RuntimeConfig") or {}
    variant = (reply.get("ProductionVariants") or [{}])[0]
    reason = reply.get("FailureReason") or ""
    return Sighting(
        kind=kind,
        name=reply[shape.name],
        arn=reply[shape.arn],
        status=reply[shape.status] if shape.status else IN_SERVICE,
        created_at=reply["CreationTime"],
        modified_at=reply.get("LastModifiedTime"),
        is_detailed=True,
        failure_reason=reason,
        failure=classify_failure(reason),
        config_name=reply.get("EndpointConfigName", "") if kind == "endpoint" else "",
        endpoint_name=reply.get("EndpointName", "") if kind == "component" else "",
        base_component_name=specification.get("BaseInferenceComponentName", ""),
        artifact_url=(specification.get("Container") or {}).get("ArtifactUrl", ""),
        copies=runtime.get("DesiredCopyCount"),
        current_copies=runtime.get("CurrentCopyCount"),
        instance_type=variant.get("InstanceType", ""),
        instance_count=variant.get("CurrentInstanceCount", variant.get("InitialInstanceCount")),
        request_id=request_id(reply),
    )
