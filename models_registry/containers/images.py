"""The container images that we know, from `data/containers/images.json`, and how a URI names one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from core.errors import Invalid

Family = Literal["lmi", "vllm", "tgi"]

DATA = Path(__file__).resolve().parents[2] / "data" / "containers"
URI = re.compile(r"(?:.*/)?(?P<repository>[a-z0-9-]+):(?P<tag>[\w.-]+)")
LMI_RELEASE = re.compile(r"-lmi(\d+)\.")
# DJL 0.25 was LMI 7, 0.28 was LMI 10: the images were called djl-deepspeed until LMI 9 (DJL 0.27).
DJL_MINOR = re.compile(r"0\.(\d+)\.")
DJL_MINOR_OF_LMI_0 = 18
LAST_DEEPSPEED_RELEASE = 9


class UnknownImage(Invalid):
    """The URI names no image whose settings we can judge; the detail lists what we know."""

    code = "image_unknown"
    title = "Unknown image"


@dataclass(frozen=True, slots=True)
class Image:
    """A container image. `release` is the LMI release, None for other families; `rules` names `data/engines`."""

    family: Family
    repository: str
    tag: str
    release: int | None
    engine_version: str | None
    is_listed: bool
    is_current: bool

    @property
    def name(self) -> str:
        """Repository and tag, without the registry."""
        return f"{self.repository}:{self.tag}"

    @property
    def title(self) -> str:
        """What people call it."""
        if self.family == "lmi":
            return f"LMI {self.release}"
        return {"vllm": f"vLLM {self.engine_version or self.tag}", "tgi": f"TGI {self.tag}"}[self.family]

    @property
    def is_discontinued(self) -> bool:
        """Whether nobody publishes this kind of image any more, or it is only maintained."""
        return self.family == "tgi" or self.repository == "djl-deepspeed"


def find_image(uri: str) -> Image:
    """The image that a URI or `repository:tag` names. Raises UnknownImage."""
    found = URI.fullmatch(uri.strip())
    repository, tag = (found["repository"], found["tag"]) if found else ("", "")
    family = _data()["repositories"].get(repository)
    for image in known_images():
        if (image.repository, image.tag) == (repository, tag):
            return image
    release = _release(tag) if family == "lmi" else None
    if family is None or (family == "lmi" and release is None):
        raise UnknownImage(
            f"{uri[:200]!r} names no image whose settings can be judged.",
            hint=f"Name an image of {', '.join(sorted(_data()['repositories']))}, such as {newest().name}.",
        )
    return Image(family, repository, tag, release, None, is_listed=False, is_current=False)


def newest() -> Image:
    """The newest LMI image: what a corrected configuration is made for unless somebody asks for another."""
    return max((image for image in known_images() if image.family == "lmi"), key=lambda image: image.release or 0)


@cache
def known_images() -> tuple[Image, ...]:
    """Every listed image, in the order of the file."""
    return tuple(
        Image(
            family=row["family"],
            repository=row["repository"],
            tag=row["tag"],
            release=row["release"],
            engine_version=row["engine_version"],
            is_listed=True,
            is_current=row["status"] == "current",
        )
        for row in _data()["images"]
    )


def current_images() -> tuple[Image, ...]:
    """The images that new settings are made for."""
    return tuple(image for image in known_images() if image.is_current)


def _release(tag: str) -> int | None:
    found = LMI_RELEASE.search(tag)
    if found:
        return int(found[1])
    older = DJL_MINOR.match(tag)
    return int(older[1]) - DJL_MINOR_OF_LMI_0 if older else None


@cache
def _data() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / "images.json").read_text(encoding="utf-8"))
    return found
