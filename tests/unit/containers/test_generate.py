"""Settings per current image, held against committed text; and what no settings can do."""

from pathlib import Path

import pytest

from models_registry.containers.generate import RANK_CHOICES, Assignment, BaseModel, CannotGenerate, generate
from models_registry.containers.images import Image, current_images, find_image, known_images
from models_registry.containers.lint import lint
from models_registry.inspection.engines import load_engine

GOLDEN = Path(__file__).parent / "golden"
BASE = BaseModel("s3://models/llama-3-1-8b/", 8192)
ASSIGNED = Assignment((8, 16, 33, *[16] * 27), in_one_batch=6)


@pytest.mark.parametrize("image", current_images(), ids=lambda image: image.title)
def test_settings_are_the_committed_ones(image: Image) -> None:
    made = generate(image, BASE, ASSIGNED).render()
    assert made == (GOLDEN / f"generated--{image.tag}.txt").read_text()


@pytest.mark.parametrize("image", known_images(), ids=lambda image: image.title)
def test_what_is_generated_has_nothing_to_correct(image: Image) -> None:
    try:
        made = generate(image, BASE, ASSIGNED)
    except CannotGenerate as refused:
        assert image.release is not None and image.release < 16, refused.detail
        return
    verdict = lint(image, made, ASSIGNED, target=image)
    assert (verdict.diagnoses, verdict.diff) == ((), "")


def test_every_current_image_can_be_generated_for() -> None:
    assert len(current_images()) >= 3
    assert all(generate(image, BASE, ASSIGNED).values for image in current_images())


@pytest.mark.parametrize(
    ("ranks", "in_one_batch", "rank", "slots", "host"),
    [
        ((1,), 4, 1, 1, 1),
        ((2, 8), 4, 8, 2, 2),
        ((9,) * 30, 4, 16, 4, 30),
        ((257, 320), 9, 320, 2, 2),
        ((512,), 1, 512, 1, 1),
    ],
)
def test_slots_and_rank_follow_the_adapters(
    ranks: tuple[int, ...], in_one_batch: int, rank: int, slots: int, host: int
) -> None:
    assigned = Assignment(ranks, in_one_batch)
    assert (assigned.max_lora_rank, assigned.max_loras, assigned.max_cpu_loras) == (rank, slots, host)


def test_the_ranks_are_those_of_the_admission_gate() -> None:
    assert load_engine("vllm-0.26").ranks == RANK_CHOICES


@pytest.mark.parametrize("ranks", [(0,), (513,), (-1, 8), (16,) * 1001])
def test_impossible_adapters_are_refused(ranks: tuple[int, ...]) -> None:
    with pytest.raises(CannotGenerate):
        generate(current_images()[0], BASE, Assignment(ranks))


@pytest.mark.parametrize(
    "image", ["djl-inference:0.33.0-lmi15.0.0-cu128", "huggingface-pytorch-tgi-inference:2.4.0-tgi3"]
)
def test_an_image_that_cannot_serve_adapters_gets_no_settings(image: str) -> None:
    with pytest.raises(CannotGenerate):
        generate(find_image(image), BASE, ASSIGNED)


def test_tgi_still_gets_settings_for_a_base_model_alone() -> None:
    made = generate(find_image("huggingface-pytorch-tgi-inference:2.4.0-tgi3"), BASE, Assignment())
    assert made.render() == "HF_MODEL_ID=s3://models/llama-3-1-8b/\nMAX_TOTAL_TOKENS=8192\nMAX_INPUT_TOKENS=8191\n"


def test_a_secret_is_named_and_never_given() -> None:
    arn = "arn:aws:secretsmanager:us-west-2:123456789012:secret:hub-AbCdEf"
    made = generate(current_images()[0], BaseModel("org/model", secrets={"HF_TOKEN": arn}), ASSIGNED)
    assert made.environment()["HF_TOKEN"] == arn
    with pytest.raises(CannotGenerate, match="never the secret itself"):
        generate(current_images()[0], BaseModel("org/model", secrets={"HF_TOKEN": "hf_0123"}), ASSIGNED)
