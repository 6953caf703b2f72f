"""Endpoints and components come, change and go as SageMaker's do."""

import pytest

from tests.emulator.conftest import AT_ONCE, ROLE, TWO_LOOKS, Aws, make_archive, refusal, wait_until


def test_an_endpoint_shows_creating_for_as_many_looks_as_ordered(aws: Aws) -> None:
    aws.control("delays", TWO_LOOKS)
    aws.make_endpoint()
    assert [aws.endpoint_status() for _ in range(3)] == ["Creating", "Creating", "InService"]


def test_a_list_is_a_look_too(aws: Aws) -> None:
    aws.control("delays", TWO_LOOKS)
    aws.make_endpoint()
    seen = [aws.sm.list_endpoints()["Endpoints"][0]["EndpointStatus"] for _ in range(3)]
    assert seen == ["Creating", "Creating", "InService"]


def test_a_delay_in_seconds_follows_the_clock(aws: Aws) -> None:
    aws.control("delays", {"endpoint": {"seconds": 600}})
    aws.make_endpoint()
    assert aws.endpoint_status() == "Creating"
    aws.control("clock", {"advance_seconds": 599})
    assert aws.endpoint_status() == "Creating"
    aws.control("clock", {"advance_seconds": 2})
    assert aws.endpoint_status() == "InService"


def test_a_delay_in_seconds_passes_in_real_time(aws: Aws) -> None:
    aws.control("delays", {"endpoint": {"seconds": 0.2}})
    aws.make_endpoint()
    assert aws.endpoint_status() == "Creating"
    wait_until(lambda: aws.endpoint_status() == "InService")


def test_an_endpoint_config_keeps_what_component_endpoints_need(aws: Aws) -> None:
    variant = {"VariantName": "main", "InstanceType": "ml.p5.48xlarge", "InitialInstanceCount": 2}
    network = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
    aws.sm.create_endpoint_config(
        EndpointConfigName="config",
        ProductionVariants=[variant],
        ExecutionRoleArn=ROLE,
        VpcConfig=network,
        MetricsConfig={"EnableEnhancedMetrics": True},
    )
    found = aws.sm.describe_endpoint_config(EndpointConfigName="config")
    assert found["ProductionVariants"] == [{**variant, "InitialVariantWeight": 1.0}]
    assert (found["ExecutionRoleArn"], found["VpcConfig"]) == (ROLE, network)
    assert found["MetricsConfig"] == {"EnableEnhancedMetrics": True}


def test_a_model_keeps_its_container_and_network_isolation(aws: Aws) -> None:
    container = {"Image": "vllm", "Environment": {"OPTION_TP": "1"}}
    aws.sm.create_model(ModelName="model", PrimaryContainer=container, EnableNetworkIsolation=True)
    found = aws.sm.describe_model(ModelName="model")
    assert (found["PrimaryContainer"], found["EnableNetworkIsolation"]) == (container, True)


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("create_model", {"ModelName": "model", "PrimaryContainer": {"Image": "vllm"}}),
        ("create_endpoint", {"EndpointName": "endpoint", "EndpointConfigName": "config"}),
    ],
)
def test_a_name_that_is_taken_is_refused(stage: Aws, operation: str, arguments: dict[str, object]) -> None:
    code, message = refusal(getattr(stage.sm, operation), **arguments)
    assert code == "ValidationException"
    assert message.startswith("Cannot create already existing")


def test_taken_names_of_configs_and_components_are_refused(stage: Aws) -> None:
    with pytest.raises(stage.sm.exceptions.ClientError, match='already existing endpoint configuration "arn:'):
        stage.make_config()
    with pytest.raises(stage.sm.exceptions.ClientError, match='already existing inference component "arn:'):
        stage.make_base()


@pytest.mark.parametrize(
    ("operation", "arguments", "message"),
    [
        ("describe_model", {"ModelName": "no"}, 'Could not find model "arn:'),
        ("delete_model", {"ModelName": "no"}, 'Could not find model "arn:'),
        ("describe_endpoint_config", {"EndpointConfigName": "no"}, 'Could not find endpoint configuration "arn:'),
        ("delete_endpoint_config", {"EndpointConfigName": "no"}, 'Could not find endpoint configuration "arn:'),
        ("describe_endpoint", {"EndpointName": "no"}, 'Could not find endpoint "arn:'),
        ("delete_endpoint", {"EndpointName": "no"}, 'Could not find endpoint "arn:'),
        ("describe_inference_component", {"InferenceComponentName": "no"}, 'Could not find inference component "arn:'),
        ("delete_inference_component", {"InferenceComponentName": "no"}, 'Could not find inference component "arn:'),
        (
            "create_endpoint",
            {"EndpointName": "e", "EndpointConfigName": "no"},
            'Could not find endpoint configuration "arn:',
        ),
    ],
)
def test_what_is_not_there_is_a_validation_exception(
    aws: Aws, operation: str, arguments: dict[str, str], message: str
) -> None:
    code, text = refusal(getattr(aws.sm, operation), **arguments)
    assert code == "ValidationException"
    assert text.startswith(message)


def test_an_update_serves_the_old_config_until_the_new_one_is_there(stage: Aws) -> None:
    stage.make_config("wider", count=3)
    stage.control("delays", {"update": {"looks": 1}})
    stage.sm.update_endpoint(EndpointName="endpoint", EndpointConfigName="wider")
    under_way = stage.sm.describe_endpoint(EndpointName="endpoint")
    assert (under_way["EndpointStatus"], under_way["EndpointConfigName"]) == ("Updating", "config")
    assert under_way["PendingDeploymentSummary"]["EndpointConfigName"] == "wider"
    done = stage.sm.describe_endpoint(EndpointName="endpoint")
    assert (done["EndpointStatus"], done["EndpointConfigName"]) == ("InService", "wider")
    assert done["ProductionVariants"][0]["CurrentInstanceCount"] == 3


@pytest.mark.parametrize("reason", ["Request to service failed.", None])
def test_a_failed_update_is_in_service_on_the_old_config(stage: Aws, reason: str | None) -> None:
    stage.make_config("wider", count=3)
    stage.control("faults", {"fault": "roll_back_update", "operation": "UpdateEndpoint", "reason": reason})
    stage.sm.update_endpoint(EndpointName="endpoint", EndpointConfigName="wider")
    found = stage.sm.describe_endpoint(EndpointName="endpoint")
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", "config")
    assert found.get("FailureReason") == reason


def test_counts_and_weights_change_alone(stage: Aws) -> None:
    change = [{"VariantName": "main", "DesiredInstanceCount": 4}]
    stage.sm.update_endpoint_weights_and_capacities(EndpointName="endpoint", DesiredWeightsAndCapacities=change)
    [variant] = stage.sm.describe_endpoint(EndpointName="endpoint")["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["CurrentWeight"]) == (4, 1.0)


def test_what_is_under_way_can_be_neither_changed_nor_deleted(stage: Aws) -> None:
    stage.control("delays", {"endpoint": {"seconds": 900}, "component": {"seconds": 900}})
    stage.make_endpoint("second")
    stage.make_base("other")
    for call, name in (
        (stage.sm.delete_endpoint, {"EndpointName": "second"}),
        (stage.sm.update_endpoint, {"EndpointName": "second", "EndpointConfigName": "config"}),
        (stage.sm.delete_inference_component, {"InferenceComponentName": "other"}),
        (stage.sm.update_inference_component, {"InferenceComponentName": "other", "RuntimeConfig": {"CopyCount": 2}}),
    ):
        code, message = refusal(call, **name)
        assert code == "ValidationException"
        assert message.startswith("Cannot ")


def test_a_component_needs_its_endpoint_in_service(aws: Aws) -> None:
    aws.control("delays", {**AT_ONCE, "endpoint": {"seconds": 900}})
    aws.make_model()
    aws.make_endpoint()
    with pytest.raises(aws.sm.exceptions.ClientError, match="must be InService, but is Creating"):
        aws.make_base()


def test_an_adapter_needs_its_base_in_service(stage: Aws) -> None:
    stage.control("delays", {"component": {"seconds": 900}})
    stage.make_base("late")
    artifact = {"BaseInferenceComponentName": "late", "Container": {"ArtifactUrl": "s3://artifacts/one.tar.gz"}}
    with pytest.raises(stage.sm.exceptions.ClientError, match="must be InService, but is Creating"):
        stage.make_adapter(Specification=artifact)


def test_an_adapter_goes_through_creating_to_service(stage: Aws) -> None:
    stage.control("delays", {"component": {"looks": 2}})
    stage.make_adapter()
    assert [stage.component_status("adapter") for _ in range(3)] == ["Creating", "Creating", "InService"]
    found = stage.sm.describe_inference_component(InferenceComponentName="adapter")
    assert found["Specification"] == {
        "BaseInferenceComponentName": "base",
        "Container": {"ArtifactUrl": "s3://artifacts/one.tar.gz"},
    }
    assert found["VariantName"] == "main"
    assert "RuntimeConfig" not in found


@pytest.mark.parametrize(
    "content", [None, b"not an archive", make_archive(b"one", folder="inner/"), make_archive(b"")[:60]]
)
def test_an_adapter_without_a_sound_artifact_fails_with_the_reason(stage: Aws, content: bytes | None) -> None:
    if content is not None:
        stage.s3.put_object(Bucket="artifacts", Key="bad.tar.gz", Body=content)
    stage.make_adapter(url="s3://artifacts/bad.tar.gz")
    found = stage.sm.describe_inference_component(InferenceComponentName="adapter")
    assert found["InferenceComponentStatus"] == "Failed"
    assert "s3://artifacts/bad.tar.gz" in found["FailureReason"]
    stage.sm.delete_inference_component(InferenceComponentName="adapter")


def test_an_adapter_is_swapped_in_place_by_naming_only_the_artifact(stage: Aws) -> None:
    stage.make_adapter()
    stage.sm.update_inference_component(
        InferenceComponentName="adapter", Specification={"Container": {"ArtifactUrl": "s3://artifacts/two.tar.gz"}}
    )
    found = stage.sm.describe_inference_component(InferenceComponentName="adapter")
    assert found["Specification"] == {
        "BaseInferenceComponentName": "base",
        "Container": {"ArtifactUrl": "s3://artifacts/two.tar.gz"},
    }


def test_a_failed_component_update_keeps_the_old_settings_and_its_reason_outlives_a_success(stage: Aws) -> None:
    stage.make_adapter()
    before = stage.text()
    missing = {"Container": {"ArtifactUrl": "s3://artifacts/none.tar.gz"}}
    stage.sm.update_inference_component(InferenceComponentName="adapter", Specification=missing)
    found = stage.sm.describe_inference_component(InferenceComponentName="adapter")
    assert found["InferenceComponentStatus"] == "InService"
    assert found["Specification"]["Container"]["ArtifactUrl"] == "s3://artifacts/one.tar.gz"
    assert "none.tar.gz" in found["FailureReason"]
    assert stage.text() == before
    two = {"Container": {"ArtifactUrl": "s3://artifacts/two.tar.gz"}}
    stage.sm.update_inference_component(InferenceComponentName="adapter", Specification=two)
    assert "FailureReason" in stage.sm.describe_inference_component(InferenceComponentName="adapter")


def test_copies_are_changed_on_the_base_only(stage: Aws) -> None:
    stage.make_adapter()
    stage.sm.update_inference_component_runtime_config(
        InferenceComponentName="base", DesiredRuntimeConfig={"CopyCount": 3}
    )
    found = stage.sm.describe_inference_component(InferenceComponentName="base")
    assert found["RuntimeConfig"] == {"DesiredCopyCount": 3, "CurrentCopyCount": 3}
    code, message = refusal(
        stage.sm.update_inference_component_runtime_config,
        InferenceComponentName="adapter",
        DesiredRuntimeConfig={"CopyCount": 3},
    )
    assert (code, "follow its base" in message) == ("ValidationException", True)


def test_an_endpoint_with_components_is_not_deleted(stage: Aws) -> None:
    code, message = refusal(stage.sm.delete_endpoint, EndpointName="endpoint")
    assert (code, message.startswith("Cannot delete endpoint")) == ("ValidationException", True)
    stage.sm.delete_inference_component(InferenceComponentName="base")
    stage.sm.delete_endpoint(EndpointName="endpoint")
    assert stage.sm.list_endpoints()["Endpoints"] == []


def test_a_base_takes_its_adapters_with_it(stage: Aws) -> None:
    stage.make_adapter()
    stage.control("delays", {"delete": {"looks": 1}})
    stage.sm.delete_inference_component(InferenceComponentName="base")
    assert (stage.component_status("base"), stage.component_status("adapter")) == ("Deleting", "Deleting")
    for name in ("base", "adapter"):
        code, message = refusal(stage.sm.describe_inference_component, InferenceComponentName=name)
        assert message.startswith("Could not find inference component"), code


def test_a_second_delete_is_refused_while_the_first_is_under_way(stage: Aws) -> None:
    stage.control("delays", {"delete": {"seconds": 900}})
    stage.sm.delete_inference_component(InferenceComponentName="base")
    code, message = refusal(stage.sm.delete_inference_component, InferenceComponentName="base")
    assert (code, message.startswith("Cannot ")) == ("ValidationException", True)


def test_models_and_configs_may_go_while_in_use(stage: Aws) -> None:
    stage.make_adapter()
    before = stage.text()
    stage.sm.delete_model(ModelName="model")
    stage.sm.delete_endpoint_config(EndpointConfigName="config")
    assert stage.endpoint_status() == "InService"
    assert stage.text() == before


def test_boto3s_own_waiters_work(stage: Aws) -> None:
    stage.control("delays", {"endpoint": {"looks": 1}, "delete": {"looks": 1}})
    quick = {"Delay": 0, "MaxAttempts": 5}
    stage.make_endpoint("second")
    stage.sm.get_waiter("endpoint_in_service").wait(EndpointName="second", WaiterConfig=quick)
    stage.sm.delete_endpoint(EndpointName="second")
    stage.sm.get_waiter("endpoint_deleted").wait(EndpointName="second", WaiterConfig=quick)
