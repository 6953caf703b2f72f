"""What AWS refuses is refused here, with AWS's words where they are known; and nothing is made."""

import json
import re
import urllib.error
import urllib.request
from typing import Any

import pytest

from aws_emulator.sagemaker import OPERATIONS
from aws_emulator.shapes import compile_pattern, service_model
from tests.emulator.conftest import ROLE, Aws, refusal

CONFIG = {
    "EndpointConfigName": "new",
    "ExecutionRoleArn": ROLE,
    "ProductionVariants": [{"VariantName": "v", "InstanceType": "ml.g5.2xlarge", "InitialInstanceCount": 1}],
}
COMPUTE = {"MinMemoryRequiredInMb": 1024}
BASE = {
    "InferenceComponentName": "new",
    "EndpointName": "endpoint",
    "VariantName": "main",
    "Specification": {"ModelName": "model", "ComputeResourceRequirements": COMPUTE},
    "RuntimeConfig": {"CopyCount": 1},
}
ADAPTER = {
    "InferenceComponentName": "new",
    "EndpointName": "endpoint",
    "Specification": {
        "BaseInferenceComponentName": "base",
        "Container": {"ArtifactUrl": "s3://artifacts/one.tar.gz"},
    },
}


def changed(request: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**request, **changes}.items() if value is not None}


def variant(**changes: Any) -> dict[str, Any]:
    return {"ProductionVariants": [changed(CONFIG["ProductionVariants"][0], **changes)]}


IMAGE = {"Image": "vllm"}
TABLE: list[tuple[str, dict[str, Any], str]] = [
    ("CreateModel", {"PrimaryContainer": IMAGE}, "at 'modelName'.*must not be null"),
    ("CreateModel", {"ModelName": "under_score", "PrimaryContainer": IMAGE}, "at 'modelName'.*regular expression"),
    ("CreateModel", {"ModelName": "-edge", "PrimaryContainer": IMAGE}, "regular expression"),
    ("CreateModel", {"ModelName": "a" * 64, "PrimaryContainer": IMAGE}, "length less than or equal to 63"),
    ("CreateModel", {"ModelName": 7, "PrimaryContainer": IMAGE}, "at 'modelName'.*be of type string"),
    ("CreateModel", {"ModelName": "a", "PrimaryContainer": IMAGE, "Colour": "red"}, "'colour'.*be known"),
    ("CreateModel", {"ModelName": "a"}, "exactly one of PrimaryContainer and Containers"),
    ("CreateModel", {"ModelName": "a", "PrimaryContainer": {"ModelDataUrl": "s3://b/k"}}, "needs an Image"),
    ("CreateModel", {"ModelName": "a", "PrimaryContainer": {"Image": "has space"}}, "regular expression"),
    ("CreateModel", {"ModelName": "a", "PrimaryContainer": IMAGE, "ExecutionRoleArn": "arn:x"}, "executionRoleArn"),
    ("CreateModel", {"ModelName": "a", "Containers": [IMAGE] * 16}, "'containers'.*length less than or equal to 15"),
    ("CreateModel", {"ModelName": "a", "PrimaryContainer": {**IMAGE, "Environment": {"1X": "v"}}}, "environment"),
    (
        "CreateModel",
        {"ModelName": "a", "PrimaryContainer": {**IMAGE, "Environment": {f"K{i}": "v" * 1000 for i in range(40)}}},
        "must not exceed 32 KB",
    ),
    ("CreateModel", {"ModelName": "a", "PrimaryContainer": IMAGE, "Tags": [{"Key": "k"}]}, "'tags.1.member.value'"),
    ("CreateModel", {"ModelName": "a", "PrimaryContainer": IMAGE, "Tags": [{"Key": "a;b", "Value": ""}]}, "tags.1"),
    (
        "CreateModel",
        {"ModelName": "a", "PrimaryContainer": IMAGE, "Tags": [{"Key": f"k{i}", "Value": ""} for i in range(51)]},
        "'tags'.*length less than or equal to 50",
    ),
    ("CreateEndpointConfig", changed(CONFIG, ProductionVariants=[]), "length greater than or equal to 1"),
    (
        "CreateEndpointConfig",
        changed(CONFIG, ProductionVariants=CONFIG["ProductionVariants"] * 11),
        "'productionVariants'.*length less than or equal to 10",
    ),
    ("CreateEndpointConfig", changed(CONFIG, ProductionVariants=CONFIG["ProductionVariants"] * 2), "must be unique"),
    ("CreateEndpointConfig", changed(CONFIG, **variant(InstanceType="ml.nope")), "satisfy enum value set"),
    ("CreateEndpointConfig", changed(CONFIG, **variant(InitialInstanceCount=0)), "value greater than or equal to 1"),
    ("CreateEndpointConfig", changed(CONFIG, **variant(InitialInstanceCount="1")), "be of type integer"),
    ("CreateEndpointConfig", changed(CONFIG, **variant(InitialInstanceCount=None)), "InitialInstanceCount"),
    ("CreateEndpointConfig", changed(CONFIG, **variant(InstanceType=None)), "InstanceType, InstancePools"),
    ("CreateEndpointConfig", changed(CONFIG, **variant(VolumeSizeInGB=513)), "value less than or equal to 512"),
    (
        "CreateEndpointConfig",
        changed(CONFIG, **variant(ModelDataDownloadTimeoutInSeconds=99999)),
        "value less than or equal to 3600",
    ),
    ("CreateEndpointConfig", changed(CONFIG, **variant(ModelName="no-such")), "Could not find model"),
    ("CreateEndpointConfig", changed(CONFIG, ExecutionRoleArn=None), "needs an ExecutionRoleArn"),
    (
        "CreateEndpointConfig",
        changed(
            CONFIG,
            ProductionVariants=[
                *CONFIG["ProductionVariants"],
                {"VariantName": "w", "ModelName": "model", "InstanceType": "ml.g5.xlarge", "InitialInstanceCount": 1},
            ],
        ),
        "Either every variant names a model",
    ),
    (
        "CreateEndpointConfig",
        changed(CONFIG, **variant(RoutingConfig={"RoutingStrategy": "PREFIX_AWARE"})),
        "PREFIX_AWARE needs",
    ),
    ("CreateEndpoint", {"EndpointName": "new"}, "at 'endpointConfigName'.*must not be null"),
    ("CreateEndpoint", {"EndpointName": "a--", "EndpointConfigName": "config"}, "regular expression"),
    (
        "CreateEndpoint",
        {
            "EndpointName": "new",
            "EndpointConfigName": "config",
            "DeploymentConfig": {
                "BlueGreenUpdatePolicy": {
                    "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 3601}
                }
            },
        },
        "waitIntervalInSeconds'.*value less than or equal to 3600",
    ),
    ("UpdateEndpoint", {"EndpointName": "endpoint", "EndpointConfigName": "no"}, "Could not find endpoint config"),
    ("ListEndpoints", {"MaxResults": 101}, "value less than or equal to 100"),
    ("ListEndpoints", {"StatusEquals": "Sleeping"}, "enum value set"),
    ("ListEndpoints", {"NameContains": "a_b"}, "regular expression"),
    ("ListEndpoints", {"NextToken": "made-up"}, "Invalid NextToken"),
    ("CreateInferenceComponent", changed(BASE, RuntimeConfig=None), "RuntimeConfig is required"),
    ("CreateInferenceComponent", changed(BASE, RuntimeConfig={"CopyCount": -1}), "greater than or equal to 0"),
    ("CreateInferenceComponent", changed(BASE, VariantName=None), "VariantName is required"),
    ("CreateInferenceComponent", changed(BASE, VariantName="other"), "Could not find variant"),
    ("CreateInferenceComponent", changed(BASE, Specification=None), "exactly one of Specification"),
    ("CreateInferenceComponent", changed(BASE, Specification={"ModelName": "model"}), "ComputeResourceRequirements"),
    (
        "CreateInferenceComponent",
        changed(BASE, Specification={"ComputeResourceRequirements": COMPUTE}),
        "needs a ModelName or a Container",
    ),
    (
        "CreateInferenceComponent",
        changed(BASE, Specification={"ModelName": "no", "ComputeResourceRequirements": COMPUTE}),
        "Could not find model",
    ),
    ("CreateInferenceComponent", changed(BASE, EndpointName="no"), "Could not find endpoint"),
    ("CreateInferenceComponent", changed(ADAPTER, VariantName="main"), "VariantName must not be given"),
    ("CreateInferenceComponent", changed(ADAPTER, RuntimeConfig={"CopyCount": 1}), "RuntimeConfig must not be given"),
    (
        "CreateInferenceComponent",
        changed(ADAPTER, Specification={**ADAPTER["Specification"], "ComputeResourceRequirements": COMPUTE}),
        "ComputeResourceRequirements must not be given",
    ),
    (
        "CreateInferenceComponent",
        changed(ADAPTER, Specification={"BaseInferenceComponentName": "base"}),
        "needs Container.ArtifactUrl",
    ),
    (
        "CreateInferenceComponent",
        changed(ADAPTER, Specification={**ADAPTER["Specification"], "BaseInferenceComponentName": "no"}),
        "Could not find inference component",
    ),
    (
        "CreateInferenceComponent",
        changed(ADAPTER, Specification={**ADAPTER["Specification"], "Container": {"ArtifactUrl": "ftp://x/y"}}),
        "artifactUrl'.*regular expression",
    ),
    (
        "UpdateInferenceComponent",
        {"InferenceComponentName": "adapter", "Specification": {"BaseInferenceComponentName": "other"}},
        "base of an inference component cannot be changed",
    ),
    ("AddTags", {"ResourceArn": "arn:aws:sagemaker:us-west-2:123456789012:model/no", "Tags": []}, "Could not find"),
]


@pytest.fixture(scope="module")
def full_stage(clients: Aws) -> Aws:
    """One stage for the whole table: a refused request changes nothing."""
    clients.control("reset", {})
    clients.make_stage()
    clients.make_adapter()
    return clients


@pytest.mark.parametrize(("operation", "request_", "message"), TABLE)
def test_a_bad_request_is_refused_and_changes_nothing(
    full_stage: Aws, operation: str, request_: dict[str, Any], message: str
) -> None:
    before = count_all(full_stage)
    code, text = send(full_stage, operation, request_)
    assert code == "ValidationException"
    assert re.search(message, text), text
    assert count_all(full_stage) == before


def send(aws: Aws, operation: str, request: dict[str, Any]) -> tuple[str, str]:
    """Code and message with which the emulator refuses a request that never passed botocore's own checks."""
    scope = "local/20261120/us-west-2/sagemaker/aws4_request"
    headers = {"X-Amz-Target": f"SageMaker.{operation}", "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}"}
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(aws.url, json.dumps(request).encode(), headers))
    error = json.load(caught.value)
    return error["__type"], error["message"]


def count_all(aws: Aws) -> list[int]:
    return [
        len(aws.sm.list_models()["Models"]),
        len(aws.sm.list_endpoint_configs()["EndpointConfigs"]),
        len(aws.sm.list_endpoints()["Endpoints"]),
        len(aws.sm.list_inference_components()["InferenceComponents"]),
    ]


def test_several_faults_are_told_at_once(full_stage: Aws) -> None:
    _, message = send(full_stage, "CreateEndpoint", {"EndpointName": "a_b"})
    assert message.startswith("2 validation errors detected: ")


def test_an_unknown_operation_is_named(full_stage: Aws) -> None:
    code, message = refusal(full_stage.sm.list_training_jobs)
    assert (code, "ListTrainingJobs" in message) == ("UnknownOperationException", True)


def test_all_patterns_of_the_hosting_operations_can_be_checked() -> None:
    model = service_model("sagemaker")
    patterns: set[str] = set()
    seen: set[str] = set()

    def walk(shape: Any) -> None:
        if shape is None or shape.name in seen:
            return
        seen.add(shape.name)
        if "pattern" in shape.metadata:
            patterns.add(shape.metadata["pattern"])
        for member in getattr(shape, "members", {}).values():
            walk(member)
        for part in ("member", "key", "value"):
            walk(getattr(shape, part, None))

    for operation in OPERATIONS:
        walk(model.operation_model(operation).input_shape)
    assert len(patterns) > 20
    # A slip in AWS's own model, of a model package's metadata: the count stands after the end of the text.
    slips = {rf"([\p{{L}}\p{{Z}}\p{{N}}_.:\/=+\-@]*)${{1,{length}}}" for length in (128, 256)}
    assert {pattern for pattern in patterns if compile_pattern(pattern) is None} <= slips


def test_a_tag_key_may_hold_letters_of_any_script(full_stage: Aws) -> None:
    full_stage.sm.create_model(ModelName="tagged", PrimaryContainer=IMAGE, Tags=[{"Key": "請求 é_1", "Value": "値"}])
    full_stage.sm.delete_model(ModelName="tagged")


def test_the_quota_is_counted_per_type_and_region(aws: Aws) -> None:
    aws.control("delays", {"endpoint": {"seconds": 0}, "delete": {"seconds": 0}})
    aws.control("quotas", {"ml.g5.2xlarge": 2})
    aws.make_config("two", count=2)
    aws.make_config("one", count=1)
    aws.make_config("other", count=3, kind="ml.g6.2xlarge")
    aws.sm.create_endpoint(EndpointName="first", EndpointConfigName="two")
    code, message = refusal(aws.sm.create_endpoint, EndpointName="second", EndpointConfigName="one")
    assert code == "ResourceLimitExceeded"
    assert message.startswith(
        "The account-level service limit 'ml.g5.2xlarge for endpoint usage' is 2 Instances, with current utilization "
        "of 2 Instances and a request delta of 1 Instances."
    )
    aws.sm.create_endpoint(EndpointName="third", EndpointConfigName="other")
    aws.sm.delete_endpoint(EndpointName="first")
    aws.sm.create_endpoint(EndpointName="second", EndpointConfigName="one")
    held = {row["endpoint"]: row["held"] for row in aws.control("instances")["instances"]}
    assert held == {"third": {"ml.g6.2xlarge": 3}, "second": {"ml.g5.2xlarge": 1}}
