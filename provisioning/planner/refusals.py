"""What the planner refuses, each with the input that is wrong and what would do instead."""

from collections.abc import Iterable
from difflib import get_close_matches

from core.errors import FieldError, Invalid


class ImpossibleScenario(Invalid):
    """A number that no load can have; `errors` names each input."""

    code = "impossible_scenario"
    title = "This cannot be planned"


class UnknownInstance(Invalid):
    """The catalogue has no price for that instance type in that region."""

    code = "unknown_instance"
    title = "Unknown instance type"


class UnknownRegion(UnknownInstance):
    """The catalogue has no price for any instance type in that region."""

    code = "unknown_region"
    title = "Unknown region"


class UnknownModel(Invalid):
    """The catalogue has no base model of that name, or none whose memory can be worked out."""

    code = "unknown_base_model"
    title = "Unknown base model"


class UnknownTokenPrice(Invalid):
    """The catalogue has no token prices of that API."""

    code = "unknown_api"
    title = "Unknown API"


class InvalidCatalogue(Invalid):
    """A catalogue table cannot be read; `errors` names line and column."""

    code = "invalid_catalogue"
    title = "The table cannot be read"


def not_one_of(name: str, known: Iterable[str], *, what: str) -> tuple[str, str]:
    """Detail and hint for a name that is not known: the nearest ones, or all of them."""
    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.6)
    listed = ", ".join(near or names) or "none"
    return f"There is no {what} {name[:80]!r}.", f"{'Did you mean' if near else 'Known are'}: {listed}."


def wrong(pointer: str, detail: str, *, code: str = "invalid") -> FieldError:
    """What is wrong with one input."""
    return FieldError(f"/{pointer}", code, detail)
