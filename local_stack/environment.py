"""The environment that the stack's processes get: ours from the first letter, whatever the caller's holds."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

# Names that could lead a process to somebody's real database, broker or AWS account.
STRANGERS = ("AWS_", "BOTO", "CELERY", "CP_", "DATABASE_", "DJANGO_", "GUNICORN_", "PG", "PYTHON", "REDIS_", "VALKEY_")
SECRETS = ("CP_SECRET_KEY", "CP_API_KEY_PEPPER", "CP_CONFIG_SIGNING_KEY", "CP_WEBHOOK_SIGNING_KEY")
ADDRESSES = ("CP_DATABASE_URL", "CP_BROKER_URL", "CP_PUBLIC_URL", "CP_TEST_CLOCK_FILE", "AWS_ENDPOINT_URL")
ACCOUNT = "123456789012"
BUCKET = "controlplane-local-artifacts"
TABLE = "controlplane-local-config"
LIMITS_TABLE = "controlplane-local-limits"


def cleaned(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without any name that could point outside this machine's embedded stack."""
    kept = {name: value for name, value in environ.items() if not name.startswith(STRANGERS)}
    # Loopback is never proxied, or boto3 would ask a proxy for the local AWS.
    kept["NO_PROXY"] = kept["no_proxy"] = "127.0.0.1,localhost"
    return kept


def embedded(
    *,
    database_url: str,
    broker_url: str,
    aws_url: str,
    public_url: str,
    clock_file: Path | None,
    keys: Mapping[str, str],
    environment: str = "local",
    environ: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Everything a process of the embedded stack needs."""
    return cleaned(os.environ if environ is None else environ) | {
        "DJANGO_SETTINGS_MODULE": "controlplane.settings",
        "PYTHONUNBUFFERED": "1",
        "CP_ENVIRONMENT": environment,
        "CP_DATABASE_URL": database_url,
        "CP_BROKER_URL": broker_url,
        "CP_PUBLIC_URL": public_url,
        "CP_TEST_CLOCK_FILE": str(clock_file or ""),
        "CP_ARTIFACT_BUCKET": BUCKET,
        "CP_IMPORT_SOURCES": f"s3://{BUCKET}/incoming/{{tenant}}/",
        "CP_CONFIG_TABLE": TABLE,
        "CP_LIMITS_TABLE": LIMITS_TABLE,
        "CP_LEASE_SECONDS": "10",
        "CP_SWEEP_SECONDS": "1",
        "CP_DRAIN_SECONDS": "8",
        "CP_AWS_TIMEOUT_SECONDS": "2.5",
        "CP_AWS_CHANGES_PER_SECOND": "100",
        "CP_AWS_CHANGES_BURST": "500",
        "AWS_ENDPOINT_URL": aws_url,
        "AWS_EXPECTED_ACCOUNT_ID": ACCOUNT,
        "AWS_DEFAULT_REGION": "us-west-2",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        **keys,
    }


def local_secrets(file: Path) -> dict[str, str]:
    """This clone's keys: drawn on first use, kept in `file` (0600), the same ever after.

    A key that a newer version of ours needs joins those that are there.
    """
    lines = file.read_text().splitlines() if file.exists() else []
    kept = dict(line.split("=", 1) for line in lines if line)
    drawn = {name: secrets.token_urlsafe(48) for name in SECRETS if name not in kept}
    if drawn:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_name(file.name + ".new")
        fresh.touch(mode=0o600)
        fresh.write_text("".join(f"{name}={value}\n" for name, value in (kept | drawn).items()))
        fresh.rename(file)
    return kept | drawn
