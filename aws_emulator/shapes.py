"""Requests checked against botocore's own service models, as AWS checks them and botocore does not.

botocore refuses missing and unknown members, wrong types and too short values before sending; maximum lengths,
maximum values, list sizes, patterns and enums are left to AWS (seen with botocore 1.44.5), so they are checked here.
"""

import functools
import itertools
import re
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

_UNICODE_CLASS = re.compile(r"\\p\{(L|M|N|P|S|Z|Alnum)\}")
_LONGEST_VALUE_SHOWN = 1024


@functools.cache
def service_model(service: str) -> ServiceModel:
    """botocore's description of the service."""
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


@functools.cache
def _unicode_ranges() -> dict[str, str]:
    """The characters of each Unicode class, as the inside of a character class: Python's `re` has no \\p."""
    found: dict[str, list[str]] = {}
    begins = (unicodedata.category(chr(code))[0] for code in range(sys.maxunicode + 1))
    code = 0
    for unicode_class, run in itertools.groupby(begins):
        length = sum(1 for _ in run)
        found.setdefault(unicode_class, []).append(f"\\U{code:08x}-\\U{code + length - 1:08x}")
        code += length
    return {"Alnum": "a-zA-Z0-9"} | {unicode_class: "".join(ranges) for unicode_class, ranges in found.items()}


@functools.cache
def compile_pattern(pattern: str) -> re.Pattern[str] | None:
    """The pattern of a shape; None where Java reads what Python cannot (in hosting two, by a slip of AWS's)."""
    try:
        return re.compile(_UNICODE_CLASS.sub(lambda match: _unicode_ranges()[match.group(1)], pattern))
    except re.error:
        return None


def warm_up() -> None:
    """Read ahead what the first caller of SageMaker would wait for: its model, and the classes of tag patterns."""
    service_model("sagemaker").operation_model("CreateEndpoint")
    _unicode_ranges()


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def _broken(value: Any, path: str, rule: str) -> str:
    shown = "null" if value is None else f"'{str(value)[:_LONGEST_VALUE_SHOWN]}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: Member must {rule}"


def _check_text(shape: Shape, value: str, path: str) -> Iterator[str]:
    rules = shape.metadata
    if len(value) < rules.get("min", 0):
        yield _broken(value, path, f"have length greater than or equal to {rules['min']}")
    if "max" in rules and len(value) > rules["max"]:
        yield _broken(value, path, f"have length less than or equal to {rules['max']}")
    if "enum" in rules and value not in rules["enum"]:
        yield _broken(value, path, f"satisfy enum value set: [{', '.join(rules['enum'])}]")
    if "pattern" in rules:
        compiled = compile_pattern(rules["pattern"])
        if compiled is not None and not compiled.fullmatch(value):
            yield _broken(value, path, f"satisfy regular expression pattern: {rules['pattern']}")


def _check_number(shape: Shape, value: float, path: str) -> Iterator[str]:
    rules = shape.metadata
    if "min" in rules and value < rules["min"]:
        yield _broken(value, path, f"have value greater than or equal to {rules['min']}")
    if "max" in rules and value > rules["max"]:
        yield _broken(value, path, f"have value less than or equal to {rules['max']}")


def _check_size(shape: Shape, value: list[Any] | dict[str, Any], path: str) -> Iterator[str]:
    rules = shape.metadata
    if len(value) < rules.get("min", 0):
        yield _broken(value, path, f"have length greater than or equal to {rules['min']}")
    if "max" in rules and len(value) > rules["max"]:
        yield _broken(value, path, f"have length less than or equal to {rules['max']}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check(shape: Shape, value: Any, path: str) -> Iterator[str]:
    kind = shape.type_name
    if value is None:
        return
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        if not shape.metadata.get("document"):
            yield from _check_structure(shape, value, path)
    elif isinstance(shape, ListShape) and isinstance(value, list):
        yield from _check_size(shape, value, path)
        for position, item in enumerate(value, 1):
            yield from _check(shape.member, item, f"{path}.{position}.member")
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        yield from _check_size(shape, value, path)
        for key, item in value.items():
            yield from _check(shape.key, key, f"{path}.key")
            yield from _check(shape.value, item, f"{path}.{key}.member")
    elif kind in ("string", "character") and isinstance(value, str):
        yield from _check_text(shape, value, path)
    elif _is_number(value) and (
        kind in ("float", "double") or (kind in ("integer", "long") and isinstance(value, int))
    ):
        yield from _check_number(shape, value, path)
    elif not _is_of(kind, value):
        yield _broken(value, path, f"be of type {kind}")


def _is_of(kind: str, value: Any) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "timestamp":
        return _is_number(value)
    return kind == "blob" and isinstance(value, str)


def _check_structure(shape: StructureShape, value: dict[str, Any], path: str) -> Iterator[str]:
    prefix = f"{path}." if path else ""
    for name in shape.metadata.get("required", []):
        if value.get(name) is None:
            yield _broken(None, prefix + _lower(name), "not be null")
    for name, item in value.items():
        member = shape.members.get(name)
        if member is None:
            yield _broken(item, prefix + _lower(name), "be known to this operation")
        else:
            yield from _check(member, item, prefix + _lower(name))


def find_faults(shape: StructureShape | None, value: dict[str, Any]) -> list[str]:
    """Every rule of the shape that `value` breaks, in AWS's words; empty when it is sound."""
    return [] if shape is None else list(_check_structure(shape, value, ""))


def refusal(faults: list[str]) -> str:
    """The message with which AWS refuses those faults."""
    return f"{len(faults)} validation error{'s' if len(faults) > 1 else ''} detected: {'; '.join(faults)}"
