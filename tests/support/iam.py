"""IAM's documented decision for one request against identity policies, for tests only. It shares no code with ours.

From "Policy evaluation logic" and "IAM JSON policy elements: Condition operators" of AWS's IAM user guide: an explicit
Deny wins, then an Allow, otherwise it is denied. All conditions of a statement must hold, any value of a key suffices;
a negated operator holds when the key is absent, any other operator does not. Policy variables are replaced in resources
and condition values; `*` and `?` are wildcards in actions, resources and StringLike.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any


def decide(policies: Sequence[Mapping[str, Any]], action: str, resource: str, context: Mapping[str, str]) -> str:
    """`deny` (explicit), `allow`, or `implicit` for a request that nothing allows."""
    effects = {
        statement["Effect"]
        for policy in policies
        for statement in _many(policy["Statement"])
        if _applies(statement, action, resource, context)
    }
    return "deny" if "Deny" in effects else "allow" if "Allow" in effects else "implicit"


def _applies(statement: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str]) -> bool:
    return (
        any(_like(pattern, action, fold=True) for pattern in _many(statement["Action"]))
        and any(_like(pattern, resource, context=context) for pattern in _many(statement["Resource"]))
        and all(
            _holds(operator, context.get(key), _many(values), context)
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )


def _holds(operator: str, found: str | None, wanted: Sequence[str], context: Mapping[str, str]) -> bool:
    if operator == "StringNotEquals":
        return found is None or all(_filled(value, context) != found for value in wanted)
    if found is None:
        return False
    if operator == "StringEquals":
        return any(_filled(value, context) == found for value in wanted)
    if operator == "StringLike":
        return any(_like(value, found, context=context) for value in wanted)
    raise NotImplementedError(operator)


def _filled(text: str, context: Mapping[str, str]) -> str | None:
    """With variables replaced; None, which matches nothing, when one has no value."""
    names = re.findall(r"\$\{([^}]+)\}", text)
    if any(name not in context for name in names):
        return None
    return re.sub(r"\$\{([^}]+)\}", lambda match: context[match[1]], text)


def _like(pattern: str, text: str, *, context: Mapping[str, str] | None = None, fold: bool = False) -> bool:
    # A variable's value is taken literally, so it is put in after the wildcards were understood.
    pieces = re.split(r"(\$\{[^}]+\}|\*|\?)", pattern)
    expression = ""
    for piece in pieces:
        if piece.startswith("${"):
            value = (context or {}).get(piece[2:-1])
            if value is None:
                return False
            expression += re.escape(value)
        else:
            expression += {"*": ".*", "?": "."}.get(piece, re.escape(piece))
    return re.fullmatch(expression, text, re.IGNORECASE if fold else 0) is not None


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
