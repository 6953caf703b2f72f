"""Everything that can be ordered over the control API does what it says, and only that."""

import json
import urllib.error

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.emulator.conftest import AT_ONCE, Aws, Process, refusal


def test_a_throttled_call_is_refused_as_often_as_ordered_and_does_nothing(aws: Aws) -> None:
    aws.control("faults", {"fault": "throttle", "operation": "CreateModel", "times": 2})
    aws.sm.list_models()
    for _ in range(2):
        assert refusal(aws.make_model) == ("ThrottlingException", "Rate exceeded")
    assert aws.sm.list_models()["Models"] == []
    aws.make_model()
    assert aws.control("faults")["faults"] == []


def test_an_operation_is_throttled_by_account_and_region_beyond_its_burst(aws: Aws) -> None:
    limit = {"per_second": 0.001, "burst": 2}
    aws.control("throttle", {"CreateModel": limit})
    for name in ("one", "two"):
        aws.make_model(name)
    assert refusal(aws.make_model, name="three") == ("ThrottlingException", "Rate exceeded")
    assert len(aws.sm.list_models()["Models"]) == 2
    assert aws.control("throttle") == {"limits": {"CreateModel": limit}, "refused": {"CreateModel": 1}}
    aws.control("throttle", {"CreateModel": None})
    aws.make_model("three")


def test_a_fault_can_be_aimed_by_name(aws: Aws) -> None:
    aws.control("faults", {"fault": "throttle", "name_contains": "red"})
    aws.make_model("blue")
    assert refusal(aws.make_model, name="dark-red")[0] == "ThrottlingException"


def test_a_fault_without_an_operation_leaves_the_other_services_alone(aws: Aws) -> None:
    aws.control("faults", {"fault": "throttle"})
    aws.s3.list_buckets()
    aws.sts.get_caller_identity()
    aws.cloudwatch.list_metrics()
    assert refusal(aws.sm.list_models)[0] == "ThrottlingException"


def test_a_server_error_is_a_500(aws: Aws) -> None:
    aws.control("faults", {"fault": "server_error", "operation": "ListModels"})
    with pytest.raises(ClientError) as caught:
        aws.sm.list_models()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("PutItem", lambda aws: aws.dynamodb.put_item(TableName="none", Item={"a": {"S": "b"}})),
        ("PutObject", lambda aws: aws.s3.put_object(Bucket="none", Key="k", Body=b"")),
        ("GetCallerIdentity", lambda aws: aws.sts.get_caller_identity()),
        ("ListMetrics", lambda aws: aws.cloudwatch.list_metrics()),
        ("InvokeEndpoint", lambda aws: aws.invoke("none")),
    ],
)
def test_a_named_operation_of_any_service_can_be_throttled(aws: Aws, operation: str, call: object) -> None:
    aws.control("faults", {"fault": "throttle", "operation": operation})
    assert refusal(call, aws=aws)[0] == "ThrottlingException"
    assert aws.control("calls")[operation] == 1


def test_a_lost_reply_means_the_work_is_done(aws: Aws) -> None:
    aws.control("faults", {"fault": "lose_reply", "operation": "CreateModel"})
    with pytest.raises(ConnectionClosedError):
        aws.make_model()
    assert [model["ModelName"] for model in aws.sm.list_models()["Models"]] == ["model"]


def test_a_retry_after_a_lost_reply_meets_its_own_work(aws: Aws, emulator: Process) -> None:
    patient = Aws(emulator.url, retries=3)
    aws.control("faults", {"fault": "lose_reply", "operation": "CreateModel"})
    code, message = refusal(patient.make_model)
    assert (code, message.startswith("Cannot create already existing model")) == ("ValidationException", True)
    assert aws.control("calls")["CreateModel"] == 2


def test_a_lost_reply_of_a_list_is_an_error_and_not_an_empty_list(aws: Aws) -> None:
    aws.control("faults", {"fault": "lose_reply", "operation": "ListModels"})
    with pytest.raises(ConnectionClosedError):
        aws.sm.list_models()


def test_a_stuck_creation_never_ends_and_cannot_be_deleted(aws: Aws) -> None:
    aws.control("delays", AT_ONCE)
    aws.control("faults", {"fault": "stuck_creating", "operation": "CreateEndpoint"})
    aws.make_endpoint()
    aws.control("clock", {"advance_seconds": 86_400})
    assert aws.endpoint_status() == "Creating"
    assert refusal(aws.sm.delete_endpoint, EndpointName="endpoint")[1].startswith("Cannot ")


def test_missing_capacity_shows_in_the_life_cycle_and_holds_no_instance(aws: Aws) -> None:
    aws.control("delays", {"endpoint": {"looks": 1}})
    aws.control("faults", {"fault": "no_capacity"})
    aws.make_endpoint()
    assert len(aws.control("instances")["instances"]) == 1
    assert aws.endpoint_status() == "Creating"
    found = aws.sm.describe_endpoint(EndpointName="endpoint")
    assert found["EndpointStatus"] == "Failed"
    assert "InsufficientInstanceCapacity" in found["FailureReason"]
    assert aws.control("instances")["instances"] == []
    assert refusal(aws.sm.update_endpoint, EndpointName="endpoint", EndpointConfigName="config")[0]
    aws.sm.delete_endpoint(EndpointName="endpoint")


def test_a_failed_component_says_why_and_can_be_deleted(stage: Aws) -> None:
    stage.control("faults", {"fault": "fail", "operation": "CreateInferenceComponent", "reason": "CUDA out of memory"})
    stage.make_base("other")
    found = stage.sm.describe_inference_component(InferenceComponentName="other")
    assert (found["InferenceComponentStatus"], found["FailureReason"]) == ("Failed", "CUDA out of memory")
    stage.sm.delete_inference_component(InferenceComponentName="other")


def test_a_component_update_can_be_rolled_back(stage: Aws) -> None:
    stage.control("faults", {"fault": "roll_back_update", "name_contains": "base"})
    stage.sm.update_inference_component(InferenceComponentName="base", RuntimeConfig={"CopyCount": 5})
    found = stage.sm.describe_inference_component(InferenceComponentName="base")
    assert (found["InferenceComponentStatus"], found["RuntimeConfig"]["DesiredCopyCount"]) == ("InService", 1)
    assert "rolled back" in found["FailureReason"]


def test_an_object_can_vanish_behind_our_back(stage: Aws) -> None:
    stage.make_adapter("one-adapter")
    stage.make_adapter("two-adapter")
    answer = stage.control("faults", {"fault": "vanish", "name_contains": "adapter", "times": 2})
    assert len(answer["vanished"]) == 2
    assert refusal(stage.component_status, name="one-adapter")[1].startswith("Could not find")
    assert stage.component_status("base") == "InService"


def test_an_endpoint_that_vanishes_takes_its_components(stage: Aws) -> None:
    stage.make_adapter()
    stage.control("faults", {"fault": "vanish", "name_contains": "endpoint"})
    assert stage.sm.list_inference_components()["InferenceComponents"] == []
    assert stage.sm.list_endpoints()["Endpoints"] == []


def test_an_object_can_vanish_just_before_the_next_call_about_it(stage: Aws) -> None:
    stage.control("faults", {"fault": "vanish", "operation": "DescribeInferenceComponent", "name_contains": "base"})
    assert stage.invoke("base")
    assert refusal(stage.component_status)[1].startswith("Could not find inference component")


def test_ordered_faults_can_be_withdrawn(aws: Aws) -> None:
    aws.control("faults", {"fault": "throttle", "times": 99})
    assert aws.control("faults")["faults"][0]["times"] == 99
    aws.control("faults", method="DELETE")
    aws.sm.list_models()


def test_calls_are_counted_by_operation(aws: Aws) -> None:
    aws.make_model()
    refusal(aws.make_model)
    aws.s3.list_buckets()
    calls = aws.control("calls")
    assert (calls["CreateModel"], calls["ListBuckets"]) == (2, 1)


def test_a_fraction_of_a_second_is_rounded_up_to_reach_the_time_asked_for(aws: Aws) -> None:
    assert aws.control("clock", {"advance_seconds": 10.2})["offset_seconds"] == 11


def test_reset_empties_every_service_and_puts_the_clock_back(stage: Aws) -> None:
    stage.control("quotas", {"ml.g5.2xlarge": 0})
    stage.control("clock", {"advance_seconds": 60})
    stage.control("reset", {})
    assert stage.control("clock")["offset_seconds"] == 0
    assert stage.s3.list_buckets()["Buckets"] == []
    assert stage.sm.list_endpoints()["Endpoints"] == []
    assert stage.control("calls") == {"ListBuckets": 1, "ListEndpoints": 1}
    stage.make_endpoint()


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("clock", {"advance_seconds": "1"}, "must be a number"),
        ("clock", {}, "either advance_seconds or offset_seconds"),
        ("clock", {"advance": 1}, "Unknown: advance"),
        ("delays", {"endpoint": {"looks": -1}}, "at least 0"),
        ("delays", {"endpoint": {"minutes": 1}}, "seconds"),
        ("delays", {"planet": {"looks": 1}}, "Unknown: planet"),
        ("faults", {"fault": "explode"}, "must be one of"),
        ("faults", {"fault": "throttle", "times": 0}, "at least 1"),
        ("faults", {"fault": "vanish"}, "needs name_contains"),
        ("quotas", {"ml.g5.xlarge": -1}, "at least 0"),
        ("inference", {"behaviour": "dream"}, "must be one of"),
        ("metrics", {"page_size": 0}, "at least 1"),
        ("metrics", [], "must be a JSON object"),
    ],
)
def test_a_control_that_makes_no_sense_is_refused(aws: Aws, name: str, body: object, message: str) -> None:
    assert message in aws.control_refusal(name, body)


def test_an_unknown_control_names_the_known_ones(aws: Aws) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        aws.control("weather")
    assert caught.value.code == 404
    assert "GET health" in json.load(caught.value)["error"]
