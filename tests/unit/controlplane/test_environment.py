"""The environment is read once, typed, and unsafe combinations are refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from controlplane.checks import refusals
from controlplane.env import Environment, database_settings

SECRET = "s" * 40
SAFE: dict[str, Any] = {
    "secret_key": SECRET,
    "api_key_pepper": SECRET,
    "config_signing_key": SECRET,
    "webhook_signing_key": SECRET,
    "aws_endpoint_url": "http://127.0.0.1:5000",
    "aws_expected_account_id": None,
    "test_clock_file": None,
    "allowed_hosts": "cp.example.com",
}


def problems(**changes: Any) -> set[str | None]:
    return {found.id for found in refusals(Environment(**{**SAFE, **changes}))}


def test_the_local_stack_is_safe() -> None:
    assert problems(test_clock_file="/tmp/clock") == set()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"secret_key": "short"}, "cp.secret_key"),
        ({"config_signing_key": ""}, "cp.config_signing_key"),
        ({"webhook_signing_key": "short"}, "cp.webhook_signing_key"),
        ({"aws_endpoint_url": None}, "cp.aws_account"),
        ({"aws_endpoint_url": None, "aws_expected_account_id": "1" * 12, "test_clock_file": "/x"}, "cp.test_clock"),
        ({"aws_endpoint_url": "http://aws.example.com", "test_clock_file": "/x"}, "cp.test_clock"),
        ({"environment": "production", "allowed_hosts": "*"}, "cp.allowed_hosts"),
        ({"aws_timeout_seconds": 31, "lease_seconds": 120}, "cp.aws_timeout"),
    ],
)
def test_unsafe_combinations_are_refused(changes: dict[str, Any], problem: str) -> None:
    assert problems(**changes) == {problem}


def test_a_malformed_value_names_itself() -> None:
    with pytest.raises(ValidationError) as caught:
        Environment(**{**SAFE, "lease_seconds": "soon", "install_name": "Too Long For Names"})
    assert {error["loc"][0] for error in caught.value.errors()} == {"lease_seconds", "install_name"}


def test_a_database_url_may_point_at_a_socket_directory() -> None:
    settings = database_settings("postgresql://postgres@/controlplane?host=/var/run/pg&sslmode=disable")
    assert (settings["HOST"], settings["NAME"], settings["USER"]) == ("/var/run/pg", "controlplane", "postgres")
    assert settings["OPTIONS"]["sslmode"] == "disable"  # type: ignore[index]


def test_only_postgresql_will_do() -> None:
    with pytest.raises(ValueError, match="postgresql://"):
        database_settings("sqlite:///x")
