"""The production shape is checked by tools that know its schema; there is no container engine in a test run."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_compose_file_follows_the_compose_specification() -> None:
    check = [TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", ROOT / "docker-compose.yml"]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_schema_check_would_notice_a_mistake(tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(yaml.safe_dump(COMPOSE | {"services": {"web": {"comand": ["x"]}}}))
    check = [TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", wrong]
    assert subprocess.run(check, capture_output=True).returncode == 1


def test_dockerfile_passes_its_linter() -> None:
    done = subprocess.run([TOOLS / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_queue_has_a_worker_of_its_own() -> None:
    commands = [service.get("command", []) for service in COMPOSE["services"].values()]
    served = {command[command.index("-Q") + 1] for command in commands if "-Q" in command}
    from controlplane.celery import ROUTES

    assert served == {route["queue"] for route in ROUTES.values()}


def test_the_image_serves_what_compose_serves() -> None:
    [last] = [line for line in DOCKERFILE.splitlines() if line.startswith("CMD ")]
    assert json.loads(last.removeprefix("CMD ")) == COMPOSE["services"]["web"]["command"]


def test_the_image_is_locked_and_unprivileged() -> None:
    assert "--require-hashes" in DOCKERFILE
    assert "USER 10001" in DOCKERFILE


@pytest.mark.parametrize("name", [name for name, service in COMPOSE["services"].items() if "build" in service])
def test_what_we_build_waits_for_what_it_needs(name: str) -> None:
    service = COMPOSE["services"][name]
    for needed, how in service.get("depends_on", {}).items():
        expected = "service_completed_successfully" if needed == "migrate" else "service_healthy"
        assert how["condition"] == expected


def test_example_environment_names_only_what_the_product_reads() -> None:
    from controlplane.env import Environment

    known = {
        str(field.validation_alias or f"CP_{name.upper()}") for name, field in Environment.model_fields.items()
    } | {"POSTGRES_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    lines = [line.lstrip("# ") for line in (ROOT / ".env.example").read_text().splitlines()]
    named = {line.split("=")[0] for line in lines if "=" in line and line.split("=")[0].isupper()}
    assert named <= known
