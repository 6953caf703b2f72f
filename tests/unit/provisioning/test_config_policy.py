"""What may be published for whom, as a table."""

from dataclasses import replace

import pytest

from provisioning.config_policy import GEOGRAPHIES, LineRules, TenantRules, violations
from provisioning.runtime_config import Route, Target

CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
LICENCE = "https://example.com/licence"
VERSION = "adv_" + "0" * 26
HOSTED = LineRules("dedicated", "hosted", "eu-central-1", "tiny-llama")
LOCAL = LineRules("local", "api", "eu-central-1", CLAUDE, CLAUDE)
EUROPE = LineRules("europe", "api", "eu-central-1", f"eu.{CLAUDE}", f"eu.{CLAUDE}")
AMERICA = LineRules("america", "api", "us-west-2", f"us.{CLAUDE}", f"us.{CLAUDE}")
WORLD = LineRules("world", "api", "eu-central-1", f"global.{CLAUDE}", f"global.{CLAUDE}")
GATED = replace(LOCAL, name="gated", eula_url=LICENCE)
LINES = {line.name: line for line in (HOSTED, LOCAL, EUROPE, AMERICA, WORLD, GATED)}
EU_ONLY = ("eu-central-1", "eu-west-1")
ALL_EU = GEOGRAPHIES["eu"]


def target(line: str, version: str = "base") -> Target:
    kind = LINES[line].kind if line in LINES else "hosted"
    return Target(line=line, kind=kind, account="123456789012", region="eu-central-1", adapter_version=version)


def codes(*targets: Target, **rules: object) -> list[str]:
    tenant = TenantRules(lines=LINES, **rules)  # type: ignore[arg-type]
    return [each.code for each in violations({"base": Route(targets)}, tenant)]


@pytest.mark.parametrize(
    ("line", "allowed", "expected"),
    [
        ("dedicated", (), []),
        ("dedicated", EU_ONLY, []),
        ("dedicated", ("us-west-2",), ["outside_residency"]),
        ("local", EU_ONLY, []),
        ("local", ("eu-west-1",), ["outside_residency"]),
        ("america", (), []),
        ("america", EU_ONLY, ["outside_residency"]),
        ("america", (*EU_ONLY, "us-west-2"), ["outside_residency"]),
        ("america", GEOGRAPHIES["us"], []),
        ("europe", EU_ONLY, ["outside_residency"]),
        ("europe", ALL_EU, []),
        ("world", ALL_EU, ["outside_residency"]),
        ("world", (), []),
    ],
)
def test_residency(line: str, allowed: tuple[str, ...], expected: list[str]) -> None:
    assert codes(target(line), allowed_regions=allowed) == expected


@pytest.mark.parametrize(
    ("line", "accepted", "expected"),
    [
        ("gated", (), ["eula_not_accepted"]),
        ("gated", ((CLAUDE, LICENCE),), []),
        ("gated", ((CLAUDE, f"{LICENCE}/v2"),), ["eula_not_accepted"]),
        ("gated", (("another", LICENCE),), ["eula_not_accepted"]),
        ("local", (), []),
    ],
)
def test_licences(line: str, accepted: tuple[tuple[str, str], ...], expected: list[str]) -> None:
    assert codes(target(line), accepted=accepted) == expected


@pytest.mark.parametrize(("servable", "expected"), [((VERSION,), []), ((), ["version_not_approved"])])
def test_versions(servable: tuple[str, ...], expected: list[str]) -> None:
    assert codes(target("dedicated", VERSION), servable=servable) == expected


def test_a_line_of_another_tier_is_refused_once_and_every_other_rule_is_told_at_once() -> None:
    assert codes(target("nowhere")) == ["line_not_in_tier"]
    found = codes(target("america"), target("gated"), allowed_regions=EU_ONLY)
    assert found == ["outside_residency", "eula_not_accepted"]


def test_a_violation_says_where_and_what_to_do() -> None:
    [found] = violations({"base": Route((target("america"),))}, TenantRules(EU_ONLY, LINES))
    assert found.subject == "base on america"
    assert "us-east-1, us-east-2, us-west-1, us-west-2" in found.detail
    assert found.hint


def test_nothing_to_route_breaks_no_rule() -> None:
    assert violations({}, TenantRules(EU_ONLY)) == []
