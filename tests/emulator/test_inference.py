"""Answers depend on the base, the artifact's bytes and the prompt; never on a name."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from tests.emulator.conftest import Aws, refusal


def test_the_same_bytes_answer_alike_under_any_name(stage: Aws) -> None:
    stage.s3.copy_object(Bucket="artifacts", Key="copy.tar.gz", CopySource="artifacts/one.tar.gz")
    stage.make_adapter("first")
    stage.make_adapter("second", url="s3://artifacts/copy.tar.gz")
    assert stage.invoke("first") == stage.invoke("second")


def test_other_bytes_another_prompt_and_the_base_alone_answer_differently(stage: Aws) -> None:
    stage.make_adapter("first")
    stage.make_adapter("second", url="s3://artifacts/two.tar.gz")
    answers = [stage.text("first"), stage.text("second"), stage.text("base"), stage.text("first", "hello you")]
    assert len(set(answers)) == 4


def test_another_base_answers_differently(stage: Aws) -> None:
    stage.make_model("larger", data="s3://weights/larger.tar.gz")
    compute = {"MinMemoryRequiredInMb": 1024}
    stage.make_base("large", Specification={"ModelName": "larger", "ComputeResourceRequirements": compute})
    assert stage.text("large") != stage.text("base")


def test_replacing_the_object_does_not_change_what_is_loaded(stage: Aws) -> None:
    stage.make_adapter()
    before = stage.text()
    stage.put_artifact("one.tar.gz", b"changed")
    assert stage.text() == before
    stage.make_adapter("later")
    assert stage.text("later") != before


def test_the_artifact_is_read_when_the_component_falls_due_even_if_nobody_looks(stage: Aws) -> None:
    stage.make_adapter("reference")
    stage.control("delays", {"component": {"seconds": 60}})
    stage.make_adapter()
    stage.control("clock", {"advance_seconds": 61})
    stage.put_artifact("one.tar.gz", b"changed")
    assert stage.text() == stage.text("reference")


def test_tokens_are_words_and_ignore_eos_asks_for_an_exact_count(stage: Aws) -> None:
    stage.make_adapter()
    answer = stage.invoke(prompt="  one two\nthree\t four ", max_tokens=37, ignore_eos=True)
    assert answer["usage"] == {"prompt_tokens": 4, "completion_tokens": 37, "total_tokens": 41}
    assert len(answer["choices"][0]["text"].split()) == 37
    assert answer["choices"][0]["finish_reason"] == "length"
    free = stage.invoke(prompt="one", max_tokens=1000)
    assert free["usage"]["completion_tokens"] == len(free["choices"][0]["text"].split()) < 1000
    assert free["choices"][0]["finish_reason"] == "stop"


def test_a_component_or_endpoint_that_is_not_there_is_a_validation_error(stage: Aws) -> None:
    for endpoint, component in (("endpoint", "none"), ("none", "base"), ("endpoint", None)):
        named = {"InferenceComponentName": component} if component else {}
        code, _ = refusal(stage.runtime.invoke_endpoint, EndpointName=endpoint, Body=b"{}", **named)
        assert code == "ValidationError"


def test_a_component_that_is_not_in_service_is_a_validation_error(stage: Aws) -> None:
    stage.control("delays", {"component": {"seconds": 900}})
    stage.make_adapter()
    code, message = refusal(stage.invoke)
    assert (code, "not in service" in message) == ("ValidationError", True)


def test_a_component_scaled_to_zero_has_no_capacity_nor_have_its_adapters(stage: Aws) -> None:
    stage.make_adapter()
    stage.sm.update_inference_component_runtime_config(
        InferenceComponentName="base", DesiredRuntimeConfig={"CopyCount": 0}
    )
    assert stage.component_status() == "InService"
    for name in ("base", "adapter"):
        code, message = refusal(stage.invoke, component=name)
        assert code == "ValidationError"
        assert message.startswith("Inference Component has no capacity to process this request.")


def test_requests_wait_for_the_copies_of_their_own_base_and_for_nobody_elses(stage: Aws) -> None:
    stage.make_adapter("mine")
    stage.make_adapter("theirs")
    compute = {"MinMemoryRequiredInMb": 1024}
    stage.make_base("alone", Specification={"ModelName": "model", "ComputeResourceRequirements": compute})
    stage.control("inference", {"copy_words_per_second": 100})
    ended: list[tuple[str, float]] = []

    def ask(component: str) -> None:
        stage.invoke(component, max_tokens=15, ignore_eos=True)
        ended.append((component, time.monotonic()))

    began = time.monotonic()
    with ThreadPoolExecutor(9) as threads:
        flood = [threads.submit(ask, "mine") for _ in range(6)]
        time.sleep(0.1)
        late = [threads.submit(ask, name) for name in ("theirs", "alone")]
        [each.result() for each in (*flood, *late)]
    order = [component for component, _ in ended]
    assert order[-1] == "theirs", "the neighbour on the same base waits behind the flood"
    assert ended[-1][1] - began >= 7 * 0.15, "one at a time"
    assert order.index("alone") < 5, "a base of its own on the same endpoint has accelerators of its own"
    stage.control("inference", {"copy_requests": 8})
    began = time.monotonic()
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(ask, ["mine"] * 3))
    assert 0.15 <= time.monotonic() - began < 0.45, "together"
    assert stage.control("inference", {"copy_words_per_second": None})["copies"]["words_per_second"] is None
    assert "above 0" in stage.control_refusal("inference", {"copy_words_per_second": 0})


def test_an_endpoint_with_a_model_answers_without_a_component(stage: Aws) -> None:
    variant = {"VariantName": "v", "ModelName": "model", "InstanceType": "ml.g5.xlarge", "InitialInstanceCount": 1}
    stage.sm.create_endpoint_config(EndpointConfigName="plain", ProductionVariants=[variant])
    stage.sm.create_endpoint(EndpointName="plain", EndpointConfigName="plain")
    asked = json.dumps({"prompt": "hello there", "max_tokens": 12})
    answer = stage.runtime.invoke_endpoint(EndpointName="plain", Body=asked)
    assert answer["InvokedProductionVariant"] == "v"
    assert json.load(answer["Body"])["choices"][0]["text"] == stage.text("base")
    with pytest.raises(ClientError, match="serves models and cannot take inference components"):
        stage.make_base("other", endpoint="plain")


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"prompt": 3}', b'{"prompt": "a", "max_tokens": 0}'])
def test_a_body_the_container_cannot_read_is_its_own_error(stage: Aws, body: bytes) -> None:
    with pytest.raises(stage.runtime.exceptions.ModelError) as caught:
        stage.runtime.invoke_endpoint(EndpointName="endpoint", InferenceComponentName="base", Body=body)
    assert caught.value.response["OriginalStatusCode"] == 400


def test_an_adapter_that_loaded_nothing_is_in_service_but_answers_with_a_model_error(stage: Aws) -> None:
    stage.make_adapter("good")
    stage.control("inference", {"behaviour": "load_nothing"})
    stage.make_adapter("hollow")
    stage.control("inference", {"behaviour": "normal"})
    assert stage.component_status("hollow") == "InService"
    with pytest.raises(stage.runtime.exceptions.ModelError) as caught:
        stage.invoke("hollow")
    answer = caught.value.response
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["OriginalStatusCode"]) == (424, 404)
    assert json.loads(answer["OriginalMessage"]) == {"detail": "Not Found"}
    assert stage.text("good") != stage.text("base")


def test_an_adapter_that_fell_back_answers_exactly_as_its_base(stage: Aws) -> None:
    stage.control("inference", {"behaviour": "fall_back_to_base", "name_contains": "lazy"})
    stage.make_adapter("lazy-one")
    stage.make_adapter("good")
    assert stage.invoke("lazy-one") == stage.invoke("base")
    assert stage.text("good") != stage.text("base")


def test_long_prompts_are_answered_fast(stage: Aws) -> None:
    """A floor far below the real speed: it catches a stall per call, not a busy machine."""
    stage.make_adapter()
    prompt = "word " * 2000
    started = time.monotonic()
    for _ in range(200):
        assert stage.invoke(prompt=prompt, ignore_eos=True)["usage"]["prompt_tokens"] == 2000
    assert 200 / (time.monotonic() - started) > 60
