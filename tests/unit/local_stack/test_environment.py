"""The embedded stack is the default whatever the caller's environment holds."""

from pathlib import Path

from local_stack import environment
from local_stack.environment import SECRETS, cleaned, embedded, local_secrets

HOSTILE = {
    "CP_DATABASE_URL": "postgresql://prod.example.com/live",
    "CP_BROKER_URL": "redis://prod.example.com",
    "AWS_PROFILE": "production",
    "AWS_ACCESS_KEY_ID": "AKIAREAL",
    "AWS_ENDPOINT_URL_S3": "https://s3.example.com",
    "PGHOST": "prod.example.com",
    "DJANGO_SETTINGS_MODULE": "somebody.settings",
    "CELERY_BROKER_URL": "redis://prod.example.com",
    "PYTHONPATH": "/somewhere",
    "PATH": "/usr/bin",
    "HTTPS_PROXY": "http://proxy.example.com",
}


def _stack_environment(keys: dict[str, str]) -> dict[str, str]:
    return embedded(
        database_url="postgresql:///here",
        broker_url="redis+socket:///here",
        aws_url="http://127.0.0.1:1",
        public_url="http://127.0.0.1:2",
        clock_file=None,
        keys=keys,
        environ=HOSTILE,
    )


def test_nothing_of_a_hostile_environment_survives() -> None:
    env = _stack_environment({})
    assert not [name for name, value in env.items() if "example.com" in value and name != "HTTPS_PROXY"]
    assert "AWS_PROFILE" not in env
    assert env["AWS_ACCESS_KEY_ID"] == "local"
    assert env["DJANGO_SETTINGS_MODULE"] == "controlplane.settings"


def test_what_an_installer_needs_stays() -> None:
    assert cleaned(HOSTILE)["PATH"] == "/usr/bin"
    assert cleaned(HOSTILE)["HTTPS_PROXY"] == "http://proxy.example.com"


def test_loopback_is_never_proxied() -> None:
    assert _stack_environment({})["NO_PROXY"] == "127.0.0.1,localhost"


def test_every_address_that_a_helper_needs_is_in_it() -> None:
    assert set(environment.ADDRESSES) <= set(_stack_environment({}))


def test_keys_are_drawn_once_and_kept_private(tmp_path: Path) -> None:
    file = tmp_path / "var" / "secrets.env"
    first = local_secrets(file)
    assert set(first) == set(SECRETS)
    assert len(set(first.values())) == len(SECRETS)
    assert min(map(len, first.values())) >= 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert local_secrets(file) == first


def test_a_key_that_a_newer_version_needs_joins_those_that_are_there(tmp_path: Path) -> None:
    file = tmp_path / "secrets.env"
    file.write_text("CP_SECRET_KEY=kept\n")
    grown = local_secrets(file)
    assert grown["CP_SECRET_KEY"] == "kept"
    assert set(grown) == set(SECRETS)
    assert file.stat().st_mode & 0o777 == 0o600
    assert local_secrets(file) == grown


def test_two_clones_have_different_keys(tmp_path: Path) -> None:
    assert local_secrets(tmp_path / "a") != local_secrets(tmp_path / "b")
