"""The generator's and the linter's answers as plain data: what the command line, REST and the page all show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from models_registry.containers.generate import (
    FIRST_RELEASE_WITH_ADAPTER_COMPONENTS,
    MAX_ADAPTERS,
    Assignment,
    BaseModel,
    generate,
)
from models_registry.containers.images import Image, find_image, newest
from models_registry.containers.lint import lint
from models_registry.containers.settings import Settings, read_settings


def composed(image: str, base: BaseModel, assignment: Assignment) -> dict[str, Any]:
    """Settings for an image URI. Raises UnknownImage and CannotGenerate."""
    found = find_image(image)
    return {"image": _image(found), **_settings(generate(found, base, assignment))}


def judged(image: str, text: str, assignment: Assignment, *, target: str = "") -> dict[str, Any]:
    """What is wrong with settings written for an image URI, and the same made right for `target`.

    Without a target: the image itself, or the newest LMI image when this one is not published any more or is of before
    adapter components: what ran there then is no use here. Raises UnknownImage, UnreadableSettings, FamiliesDiffer
    and CannotGenerate.
    """
    found = find_image(image)
    aim = find_image(target) if target else _aim(found)
    verdict = lint(found, read_settings(text, found.family), assignment, target=aim)
    return {
        "image": _image(found),
        "target": _image(aim),
        "is_usable": verdict.is_usable,
        "diagnoses": [asdict(diagnosis) for diagnosis in verdict.diagnoses],
        "corrected": _settings(verdict.corrected),
        "diff": verdict.diff,
    }


def read_ranks(texts: Sequence[str]) -> tuple[int, ...]:
    """Ranks as people write them: each "16", or "16x30" for thirty adapters of it. Raises ValueError, said plainly."""
    ranks: list[int] = []
    for text in texts:
        rank, times, count = text.strip().lower().partition("x")
        if not rank.isascii() or not rank.isdigit() or (times and not (count.isascii() and count.isdigit())):
            raise ValueError(f"{text[:40]!r} is not a rank such as 16, nor a rank and a count such as 16x30.")
        # One more than may be assigned is enough to be refused for it.
        ranks += [int(rank[:9])] * min(int(count[:9]) if times else 1, MAX_ADAPTERS + 1)
    return tuple(ranks)


def _aim(image: Image) -> Image:
    is_past = image.is_discontinued or (image.release or 0) < FIRST_RELEASE_WITH_ADAPTER_COMPONENTS
    return newest() if image.family == "lmi" and is_past else image


def _image(image: Image) -> dict[str, Any]:
    return {
        "name": image.name,
        "title": image.title,
        "engine_version": image.engine_version,
        "is_current": image.is_current,
        "is_discontinued": image.is_discontinued,
    }


def _settings(settings: Settings) -> dict[str, Any]:
    return {"form": settings.form, "text": settings.render(), "environment": settings.environment()}
