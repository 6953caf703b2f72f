"""Configurations of 2023 and 2024, copied widely, and what is said about them today."""

from pathlib import Path

import pytest

from core.errors import DomainError
from models_registry.containers.answer import judged, read_ranks
from models_registry.containers.generate import Assignment
from models_registry.containers.images import Image, current_images, find_image, newest
from models_registry.containers.lint import lint
from models_registry.containers.settings import UnreadableSettings, read_settings

GOLDEN = Path(__file__).parent / "golden"
DEEPSPEED = "763104351884.dkr.ecr.us-east-1.amazonaws.com/djl-deepspeed:0.25.0-deepspeed0.11.0-cu118"
LMI_11 = "djl-inference:0.29.0-lmi11.0.0-cu124"
OF_2023 = """\
engine=MPI
option.model_id=s3://models/llama-2-13b/
option.tensor_parallel_degree=4
option.rolling_batch=lmi-dist
option.paged_attention=true
option.max_rolling_batch_size=32
"""
OF_2024 = """\
engine=MPI
option.model_id=s3://models/llama-3-1-8b/
option.rolling_batch=lmi-dist
option.enable_lora=true
option.max_loras=4
option.max_lora_rank=16
option.lora_extra_vocab_size=256
option.trust_remote_code=true
"""
COPIED = {"of-2023": (DEEPSPEED, OF_2023), "of-2024": (LMI_11, OF_2024)}
ASSIGNED = Assignment((16, 64, 8))
LMI_TARGETS = [image for image in current_images() if image.family == "lmi"]


def codes(verdict_diagnoses: object) -> set[str]:
    return {diagnosis.code for diagnosis in verdict_diagnoses}  # type: ignore[attr-defined]


@pytest.mark.parametrize("target", LMI_TARGETS, ids=lambda image: image.title)
@pytest.mark.parametrize("name", COPIED)
def test_a_copied_configuration_is_corrected_as_committed(name: str, target: Image) -> None:
    uri, text = COPIED[name]
    image = find_image(uri)
    verdict = lint(image, read_settings(text, image.family), ASSIGNED, target=target)
    assert not verdict.is_usable
    assert {"mpi_engine_removed", "lmi_dist_removed", "max_lora_rank_too_small"} <= codes(verdict.diagnoses)
    assert verdict.diff == (GOLDEN / f"{name}--{target.tag}.diff").read_text()
    again = lint(target, verdict.corrected, ASSIGNED, target=target)
    assert (again.diagnoses, again.diff) == ((), "")


def test_what_still_ran_then_is_not_called_wrong_at_its_own_image() -> None:
    image = find_image(LMI_11)
    verdict = lint(image, read_settings(OF_2023, "lmi"), Assignment(), target=image)
    assert verdict.is_usable and not verdict.diagnoses


@pytest.mark.parametrize("image", [DEEPSPEED, LMI_11, "djl-inference:0.25.0-deepspeed0.11.0-cu118"])
def test_what_was_copied_is_judged_as_of_today_unless_somebody_says_otherwise(image: str) -> None:
    answer = judged(image, OF_2023, Assignment())
    assert answer["target"]["name"] == newest().name and not answer["is_usable"]
    assert {"mpi_engine_removed", "lmi_dist_removed"} <= {found["code"] for found in answer["diagnoses"]}
    assert judged(image, OF_2023, Assignment(), target=LMI_11)["is_usable"]


def test_every_diagnosis_says_what_why_and_what_to_do() -> None:
    for uri, text in COPIED.values():
        for found in judged(uri, text, ASSIGNED, target=newest().name)["diagnoses"]:
            assert found["message"].endswith(".") and found["hint"].endswith(".") and found["source"], found


@pytest.mark.parametrize(
    ("image", "text", "ranks", "expected"),
    [
        (LMI_11, "option.model_id=x", (8,), {"adapter_components_unsupported", "lora_disabled", "max_loras_unset"}),
        (
            "djl-inference:0.36.0-lmi18.0.0-cu128",
            "OPTION_LONG_LORA_SCALING_FACTORS=4",
            (),
            {"long_lora_scaling_removed"},
        ),
        ("djl-inference:0.35.0-lmi17.0.0-cu128", "OPTION_LORA_EXTRA_VOCAB_SIZE=0", (), set()),
        ("djl-inference:0.35.0-lmi17.0.0-cu128", "OPTION_ROLLING_BATCH=vllm", (), {"rolling_batch_superseded"}),
        ("djl-inference:0.32.0-lmi14.0.0-cu126", "OPTION_ROLLING_BATCH=vllm", (), set()),
        ("djl-inference:0.37.0-lmi30.0.0-cu130", "HF_MODEL_ID=x", (), {"image_unlisted"}),
        (newest().name, "OPTION_MAX_LORA_RANK=48", (8,), {"max_lora_rank_not_allowed"}),
        (newest().name, "OPTION_MAX_LORA_RANK=256\nOPTION_ENABLE_LORA=true", (8,), {"max_lora_rank_too_large"}),
        (
            "vllm:0.27.1-gpu-py312-cu130-ubuntu22.04-sagemaker",
            "SM_VLLM_ENABLE_LORA=true",
            (8,),
            {"runtime_loading_off"},
        ),
        ("huggingface-pytorch-tgi-inference:2.4.0-tgi3", "MAX_INPUT_LENGTH=10", (), {"image_discontinued", "old_name"}),
    ],
)
def test_rules(image: str, text: str, ranks: tuple[int, ...], expected: set[str]) -> None:
    found = find_image(image)
    verdict = lint(found, read_settings(text, found.family), Assignment(ranks), target=found)
    assert expected <= codes(verdict.diagnoses)
    assert expected or not verdict.diagnoses


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "option.api_key", "DB_PASSWORD"]
)
def test_a_secret_by_value_is_refused_and_not_repeated(name: str) -> None:
    answer = judged(newest().name, f"{name}=hf_very_secret", Assignment())
    assert [found["code"] for found in answer["diagnoses"]] == ["secret_by_value"]
    assert "hf_very_secret" not in repr(answer)


def test_a_named_secret_is_no_fault() -> None:
    text = "HF_TOKEN=arn:aws:secretsmanager:us-west-2:123456789012:secret:hub-AbCdEf"
    assert judged(newest().name, text, Assignment())["diagnoses"] == []
    assert judged(newest().name, "OPTION_TOKENIZER_MODE=mistral", Assignment())["diagnoses"] == []


def test_both_forms_say_the_same() -> None:
    file = "engine=Python\noption.max_loras=4\noption.entryPoint=x\noption.model_id=m\n"
    environment = "OPTION_ENGINE=Python\nexport OPTION_MAX_LORAS='4'\nOPTION_ENTRYPOINT=x\nHF_MODEL_ID=m\n"
    one, other = read_settings(file, "lmi"), read_settings(environment, "lmi")
    assert one.values == other.values and (one.form, other.form) == ("properties", "environment")
    assert one.render() == file and other.environment()["OPTION_MAX_LORAS"] == "4"


@pytest.mark.parametrize(
    "text", ["engine", "=1", "two words=1", "a=1\na=2", "x=1\n" * 20_000, "\n".join(f"k{n}=1" for n in range(201))]
)
def test_unreadable_settings_are_refused(text: str) -> None:
    with pytest.raises(UnreadableSettings):
        read_settings(text, "lmi")


@pytest.mark.parametrize(
    "uri", ["", "djl-inference", "djl-inference:latest", "nginx:1.27", "a:b:c", "djl-inference:\n"]
)
def test_an_unknown_image_is_refused_with_what_is_known(uri: str) -> None:
    with pytest.raises(DomainError) as refused:
        judged(uri, "engine=MPI", Assignment())
    assert refused.value.code == "image_unknown" and "djl-inference" in refused.value.hint


def test_settings_do_not_cross_families() -> None:
    with pytest.raises(DomainError) as refused:
        judged(LMI_11, "engine=MPI", Assignment(), target="vllm:0.27.1-gpu-py312-cu130-ubuntu22.04-sagemaker")
    assert refused.value.code == "container_families_differ"


def test_ranks_as_people_write_them() -> None:
    assert read_ranks(["16", " 8X3 "]) == (16, 8, 8, 8)
    for wrong in ("", "x", "16x", "-1", "1.5", "a"):
        with pytest.raises(ValueError, match="not a rank"):
            read_ranks([wrong])
