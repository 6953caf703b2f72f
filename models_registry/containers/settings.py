"""A container's settings in one spelling, whichever of its two forms they came in.

LMI reads `serving.properties` and the environment: `option.max_loras` is `OPTION_MAX_LORAS`, and the file wins. The
other images read the environment only. Here LMI's settings are spelled as in the file, in lower case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from core.errors import Invalid
from models_registry.containers.images import Family

Form = Literal["properties", "environment"]

MAX_SETTINGS = 200
MAX_CHARACTERS = 64 * 1024
# Where the environment's name is not OPTION_ and the rest.
LMI_NAMES = {
    "HF_MODEL_ID": "option.model_id",
    "HF_REVISION": "option.revision",
    "HF_MODEL_TRUST_REMOTE_CODE": "option.trust_remote_code",
    "TENSOR_PARALLEL_DEGREE": "option.tensor_parallel_degree",
    "OPTION_ENGINE": "engine",
}
LMI_VARIABLES = {setting: name for name, setting in LMI_NAMES.items()}
# The file's own spelling, where it is not lower case.
FILE_NAMES = {"option.entrypoint": "option.entryPoint"}


class UnreadableSettings(Invalid):
    """The text is neither `serving.properties` nor an environment; the detail names the line."""

    code = "container_settings_unreadable"
    title = "The settings cannot be read"


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings by their one spelling, and the form to write them in."""

    values: Mapping[str, str]
    form: Form

    def render(self) -> str:
        """The text of it, one setting per line in the order given; ends with a newline."""
        if self.form == "properties":
            return "".join(f"{FILE_NAMES.get(key, key)}={value}\n" for key, value in self.values.items())
        return "".join(f"{key}={value}\n" for key, value in self.environment().items())

    def environment(self) -> dict[str, str]:
        """As environment variables, which is what a SageMaker Model takes."""
        return {_variable(key): value for key, value in self.values.items()}


def read_settings(text: str, family: Family) -> Settings:
    """Parse lines of `key=value`; blank lines and comments (# or !) are left out.

    Raises UnreadableSettings for a line that is none, a key that comes twice with different values, or too much.
    """
    if len(text) > MAX_CHARACTERS:
        raise UnreadableSettings(f"The settings have {len(text)} characters; at most {MAX_CHARACTERS} are read.")
    found: dict[str, str] = {}
    form: Form = "environment"
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip().removeprefix("export ")
        if not line or line[0] in "#!":
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not key or any(character.isspace() for character in key):
            raise UnreadableSettings(f"Line {number} is not of the form key=value: {line[:80]!r}.")
        if family == "lmi" and (key == "engine" or key.startswith("option.") or key == "job_queue_size"):
            form = "properties"
        name = canonical(key, family)
        value = value.strip("\"'")
        if found.setdefault(name, value) != value:
            raise UnreadableSettings(f"Line {number} sets {key} a second time, to another value.")
    if len(found) > MAX_SETTINGS:
        raise UnreadableSettings(f"There are {len(found)} settings; at most {MAX_SETTINGS} are read.")
    return Settings(found, form)


def from_environment(environment: Mapping[str, str], family: Family) -> Settings:
    """The settings of a SageMaker Model's environment."""
    return Settings({canonical(key, family): value for key, value in environment.items()}, "environment")


def canonical(key: str, family: Family) -> str:
    """The one spelling of a setting."""
    if family != "lmi":
        return key
    if key in LMI_NAMES:
        return LMI_NAMES[key]
    if key.startswith("OPTION_"):
        return f"option.{key.removeprefix('OPTION_').lower()}"
    return key.lower() if key.lower().startswith("option.") else key


def _variable(key: str) -> str:
    if key in LMI_VARIABLES:
        return LMI_VARIABLES[key]
    return f"OPTION_{key.removeprefix('option.').upper()}" if key.startswith("option.") else key
