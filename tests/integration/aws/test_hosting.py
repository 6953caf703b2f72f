"""SageMaker over real boto3: complete lists, absence, ownership tags, answers cut on the way."""

import json
import socket
import threading
from dataclasses import replace

import pytest
from django.conf import settings

from aws import connect, errors
from aws.boto.hosting import BotoHosting
from aws.boto.session import AwsAccess, Clients
from aws.gateway import EndpointConfigSpec, EndpointSpec, InferenceProfileSpec, ModelSpec

PROFILE = InferenceProfileSpec("local-profile-acorn-0123abcd-1", "anthropic.claude-3-haiku-20240307-v1:0")
ROLE = "arn:aws:iam::123456789012:role/controlplane-execution"
MODEL = ModelSpec("m-1", "image:1", "s3://bucket/prefix/", {"A": "b"}, ROLE)
CONFIG = EndpointConfigSpec("c-1", "ml.g5.2xlarge", 1, 2, ROLE)


def test_a_list_is_complete_over_many_pages(aws):
    hosting = connect.hosting()
    for number in range(213):
        hosting.create(replace(MODEL, name=f"many-{number}"), tags={})
    assert len(hosting.list("model", name_contains="many-")) == 213
    assert hosting.list("model", name_contains="few-") == {}
    assert aws.calls()["ListModels"] == 4, "three pages, and one that is empty"


def test_an_object_has_its_tags_and_goes_when_it_is_deleted(aws):
    hosting = connect.hosting()
    receipt = hosting.create(CONFIG, tags={"cp:install": "local", "cp:resource": "res_1"})
    assert receipt.request_id
    assert hosting.tags(receipt.arn) == {"cp:install": "local", "cp:resource": "res_1"}
    with pytest.raises(errors.AlreadyExists):
        hosting.create(CONFIG, tags={})
    hosting.delete("endpoint_config", "c-1")
    with pytest.raises(errors.Missing):
        hosting.describe("endpoint_config", "c-1")
    with pytest.raises(errors.Missing):
        hosting.delete("endpoint_config", "c-1")


def test_an_endpoint_goes_through_its_life(aws):
    aws.delays(endpoint={"looks": 1}, update={"looks": 1})
    hosting = connect.hosting()
    hosting.create(CONFIG, tags={})
    hosting.create(EndpointSpec("e-1", "c-1"), tags={})
    with pytest.raises(errors.InProgress):
        hosting.delete("endpoint", "e-1")
    assert hosting.describe("endpoint", "e-1").status == "Creating"
    seen = hosting.describe("endpoint", "e-1")
    assert (seen.status, seen.config_name, seen.is_detailed) == ("InService", "c-1", True)
    hosting.create(replace(CONFIG, name="c-2"), tags={})
    hosting.point_endpoint("e-1", config_name="c-2")
    with pytest.raises(errors.InProgress):
        hosting.point_endpoint("e-1", config_name="c-1")


def test_our_own_mistakes_are_rejected_with_the_request_id(aws):
    with pytest.raises(errors.InvalidRequest) as caught:
        connect.hosting().create(replace(CONFIG, instance_type="ml.nope"), tags={})
    assert caught.value.request_id and caught.value.operation == "CreateEndpointConfig"


def test_a_throttled_call_says_so_at_once_because_the_loop_tries_again(aws):
    aws.fault("throttle", operation="ListModels", times=10)
    with pytest.raises(errors.Throttled):
        connect.hosting().list("model")
    assert aws.calls()["ListModels"] == 1


@pytest.fixture
def cutting_server():
    """Answers every request with a 200 whose body stops in the middle and then closes in good order."""
    listener = socket.create_server(("127.0.0.1", 0))
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nConnection: close\r\n\r\n{}"

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                peer.recv(65536)
                peer.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()
    thread.join(1)


@pytest.mark.parametrize("model_id", [PROFILE.model_id, f"us.{PROFILE.model_id}"])
def test_an_inference_profile_is_found_by_its_name_tagged_and_deleted(aws, model_id):
    hosting = connect.hosting()
    spec = replace(PROFILE, model_id=model_id)
    receipt = hosting.create(spec, tags={"cp:resource": "res_1"})

    assert hosting.create(spec, tags={}).arn == receipt.arn, "a repeated create is the same one"
    seen = hosting.describe("inference_profile", spec.name)
    assert (seen.arn, seen.status) == (receipt.arn, "InService")
    assert hosting.tags(receipt.arn) == {"cp:resource": "res_1"}
    assert list(hosting.list("inference_profile", name_contains="local-profile-")) == [spec.name]
    with pytest.raises(errors.AlreadyExists):
        hosting.create(replace(spec, model_id="amazon.nova-pro-v1:0"), tags={})
    hosting.delete("inference_profile", spec.name)
    with pytest.raises(errors.Missing):
        hosting.describe("inference_profile", spec.name)
    with pytest.raises(errors.Missing):
        hosting.delete("inference_profile", spec.name)


def test_a_model_that_bedrock_does_not_have_is_refused(aws):
    with pytest.raises(errors.InvalidRequest):
        connect.hosting().create(replace(PROFILE, model_id="anthropic.made-up-v1:0"), tags={})


def hosting_of(access):
    clients = Clients(access)
    return BotoHosting(clients.client("sagemaker"), lambda: clients.client("bedrock"))


@pytest.mark.parametrize("look", ["describe", "list", "tags"])
def test_an_answer_without_its_fields_never_means_absence(cutting_server, look):
    access = AwsAccess(settings.ENV.aws_region, 5, cutting_server)
    hosting = hosting_of(access)
    calls = {
        "describe": lambda: hosting.describe("endpoint", "e-1"),
        "list": lambda: hosting.list("endpoint"),
        "tags": lambda: hosting.tags("arn:aws:sagemaker:us-west-2:123456789012:endpoint/e-1"),
    }
    with pytest.raises(errors.Unreachable) as caught:
        calls[look]()
    assert caught.value.outcome_unknown


def test_nobody_listening_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    access = AwsAccess(settings.ENV.aws_region, 2, f"http://127.0.0.1:{port}")
    with pytest.raises(errors.Unreachable):
        hosting_of(access).describe("model", "m")


def test_another_account_than_the_expected_one_is_refused(aws, monkeypatch):
    """Real AWS is played by the local one: what counts is that no endpoint URL is named in our settings."""
    monkeypatch.setattr(settings, "ENV", settings.ENV.model_copy(
        update={"aws_endpoint_url": None, "aws_expected_account_id": "999999999999"}
    ))  # fmt: skip
    with pytest.raises(errors.AccessDenied) as caught:
        connect.hosting()
    assert caught.value.code == "UnexpectedAccount"
    assert json.dumps(caught.value.message)
