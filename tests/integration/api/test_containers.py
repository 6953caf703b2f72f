"""Container settings over REST: generated, judged, refused."""

import pytest

from models_registry.containers.images import newest
from tests.integration.api.client import caller, refused

OLD = "763104351884.dkr.ecr.us-west-2.amazonaws.com/djl-deepspeed:0.25.0-deepspeed0.11.0-cu118"

pytestmark = pytest.mark.django_db


def test_settings_are_generated_for_the_adapters_assigned() -> None:
    asked = {"image": newest().name, "model_id": "s3://models/base/", "ranks": ["16x30", "33"], "in_one_batch": 6}
    made = caller("scenarios.manage").post("container-settings/generate", asked).json()
    assert made["environment"]["OPTION_MAX_LORA_RANK"] == "64"
    assert (made["environment"]["OPTION_MAX_LORAS"], made["environment"]["OPTION_MAX_CPU_LORAS"]) == ("6", "31")
    assert made["image"]["title"] == newest().title


def test_a_copied_configuration_is_diagnosed_and_corrected() -> None:
    asked = {"image": OLD, "text": "engine=MPI\noption.rolling_batch=lmi-dist\n"}
    found = caller("scenarios.manage").post("container-settings/lint", asked).json()
    assert not found["is_usable"]
    assert [each["code"] for each in found["diagnoses"]] == [
        "image_discontinued",
        "mpi_engine_removed",
        "lmi_dist_removed",
    ]
    assert found["corrected"]["text"] == "engine=Python\noption.rolling_batch=disable\n"
    assert "-engine=MPI" in found["diff"] and "+engine=Python" in found["diff"]


def test_bad_input_is_refused_with_what_to_do() -> None:
    call = caller("scenarios.manage")
    unknown = refused(call.post("container-settings/lint", {"image": "nginx:1", "text": "a=1"}), 422, "image_unknown")
    assert newest().name in unknown["hint"]
    lint = {"image": OLD, "text": "engine"}
    refused(call.post("container-settings/lint", lint), 422, "container_settings_unreadable")
    make = {"image": newest().name, "model_id": "m", "ranks": ["1000"]}
    refused(call.post("container-settings/generate", make), 422, "container_settings_impossible")
    refused(call.post("container-settings/generate", make | {"ranks": ["many"]}), 422, "invalid_body")
