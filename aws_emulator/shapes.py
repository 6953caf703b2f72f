"""Requests checked against botocore's own service models, as AWS checks them and botocore does not.

botocore refuses missing and unknown members, wrong types and too short values before sending; maximum lengths,
maximum values, list sizes, patterns and enums are left to AWS (seen with botocore 1.44.5), so they are checked here.
"""

import functools
import re
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape

_UNICODE_CLASS = re.compile(r"\\p\{(L|M|N|P|S|Z|Alnum)\}")
_LONGEST_VALUE_SHOWN = 1024


@functools.cache
def service_model(service: str) -> ServiceModel:
    """botocore's description of the service."""
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


@functools.cache
def _ranges(unicode_class: str) -> str:
    """The characters of a Unicode class, as the inside of a character class: Python's `re` has no \\p."""
    if unicode_class == "Alnum":
        return "a-zA-Z0-9"
    found, first, previous = [], -1, -2
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code))[0] != unicode_class:
            continue
        if code != previous + 1:
            if first >= 0:
                found.append(f"\\U{first:08x}-\\U{previous:08x}")
            first = code
        previous = code
    found.append(f"\\U{first:08x}-\\U{previous:08x}")
    return "".join(found)


@functools.cache
def compile_pattern(pattern: str) -> re.Pattern[str] | None:
    """The pattern of a shape, or None for the few that Java reads and Python cannot (none of them in hosting)."""
    try:
        return re.compile(_UNICODE_CLASS.sub(lambda match: _ranges(match.group(1)), pattern))
    except re.error:
        return None


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


def _check(shape: Shape, value: Any, path: str) -> Iterator[str]:
    kind = shape.type_name
    if value is None:
        return
    if kind == "structure" and isinstance(value, dict):
        if not shape.metadata.get("document"):
            yield from _check_structure(shape, value, path)
    elif kind == "list" and isinstance(value, list):
        yield from _check_size(shape, value, path)
        for position, item in enumerate(value, 1):
            yield from _check(shape.member, item, f"{path}.{position}.member")
    elif kind == "map" and isinstance(value, dict):
        yield from _check_size(shape, value, path)
        for key, item in value.items():
            yield from _check(shape.key, key, f"{path}.key")
            yield from _check(shape.value, item, f"{path}.{key}.member")
    elif kind in ("string", "character") and isinstance(value, str):
        yield from _check_text(shape, value, path)
    elif (kind in ("integer", "long") and isinstance(value, int) and not isinstance(value, bool)) or (
        kind in ("float", "double") and _is_number(value)
    ):
        yield from _check_number(shape, value, path)
    elif not (
        (kind == "boolean" and isinstance(value, bool))
        or (kind == "timestamp" and _is_number(value))
        or (kind == "blob" and isinstance(value, str | bytes))
    ):
        yield _broken(value, path, f"be of type {kind}")


def _check_structure(shape: Shape, value: dict[str, Any], path: str) -> Iterator[str]:
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


def find_faults(shape: Shape | None, value: dict[str, Any]) -> list[str]:
    """Every rule of the shape that `value` breaks, in AWS's words; empty when it is sound."""
    return [] if shape is None else list(_check_structure(shape, value, ""))


def refusal(faults: list[str]) -> str:
    """The message with which AWS refuses those faults."""
    return f"{len(faults)} validation error{'s' if len(faults) > 1 else ''} detected: {'; '.join(faults)}"
