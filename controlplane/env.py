"""Reads the environment once, typed. A malformed value stops the boot and names itself.

Every variable the product knows is a field here; `settings.py` reads nothing else.
"""

from functools import lru_cache
from typing import Annotated, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Environment(BaseSettings):
    """The settings of one process. Names in the environment are upper case with the prefix `CP_`, AWS's own apart."""

    model_config = SettingsConfigDict(env_prefix="CP_", frozen=True, extra="ignore", populate_by_name=True)

    environment: Literal["local", "test", "production"] = "production"
    database_url: str = "postgresql:///controlplane"
    broker_url: str = "redis://127.0.0.1:6379/0"
    secret_key: SecretStr = SecretStr("")
    api_key_pepper: SecretStr = SecretStr("")
    config_signing_key: SecretStr = SecretStr("")
    webhook_signing_key: SecretStr = SecretStr("")
    install_name: str = Field("local", pattern=r"^[a-z][a-z0-9]{0,7}$")
    public_url: str = "http://127.0.0.1:8000"
    allowed_hosts: Annotated[list[str], NoDecode] = ["127.0.0.1", "localhost"]
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    artifact_bucket: str = "controlplane-artifacts"
    # Where adapters are imported from: s3://bucket/prefix/, with {tenant} where each tenant has its own place.
    import_sources: Annotated[list[str], NoDecode] = []
    config_table: str = "controlplane-runtime-config"
    limits_table: str = "controlplane-limits"
    # Shares of a day's or month's token limit that are told once each when they are used.
    limit_alert_percents: Annotated[tuple[int, ...], NoDecode] = (50, 80, 100)
    execution_role_arn: str = "arn:aws:iam::123456789012:role/controlplane-execution"

    # How long what was sent to webhooks, and what receivers answered, is kept; longer than a replay reaches back.
    webhook_retention_days: int = Field(90, ge=32)

    # Months for which hours of usage are kept behind their sums; CloudWatch itself keeps them for fifteen.
    usage_hours_kept_months: int = Field(25, ge=16)

    lease_seconds: int = Field(120, ge=1)
    sweep_seconds: float = Field(15, gt=0)
    aws_timeout_seconds: float = Field(20, gt=0)
    # How long what traffic has left is kept: until every kit has read the config (5 s and one read), and the longest
    # answer under way (65 s) has ended.
    drain_seconds: float = Field(90, ge=0)
    # Calls that change AWS, per account, region and API operation; AWS publishes no figure for SageMaker's.
    aws_changes_per_second: float = Field(2, gt=0)
    aws_changes_burst: int = Field(10, ge=1)
    test_clock_file: str | None = None

    aws_endpoint_url: str | None = Field(None, validation_alias="AWS_ENDPOINT_URL")
    aws_expected_account_id: str | None = Field(
        None, validation_alias="AWS_EXPECTED_ACCOUNT_ID", pattern=r"^[0-9]{12}$"
    )
    aws_region: str = Field("us-west-2", validation_alias="AWS_DEFAULT_REGION")

    @field_validator("allowed_hosts", "import_sources", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        return [host.strip() for host in value.split(",") if host.strip()] if isinstance(value, str) else value

    @field_validator("limit_alert_percents", mode="before")
    @classmethod
    def _read_percents(cls, value: object) -> object:
        return sorted({int(each) for each in value.split(",") if each.strip()}) if isinstance(value, str) else value

    @field_validator("limit_alert_percents")
    @classmethod
    def _be_percents(cls, percents: tuple[int, ...]) -> tuple[int, ...]:
        if not all(1 <= each <= 100 for each in percents):
            raise ValueError("each is a percentage from 1 to 100")
        return percents

    @field_validator("import_sources")
    @classmethod
    def _end_with_a_slash(cls, sources: list[str]) -> list[str]:
        for source in sources:
            if not source.startswith("s3://") or not source.endswith("/") or source.count("/") < 3:
                raise ValueError(f"{source} is no place to import from: write s3://bucket/ or s3://bucket/prefix/")
        return sources

    @field_validator("aws_endpoint_url", "aws_expected_account_id", "test_clock_file", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return value or None

    @property
    def is_local(self) -> bool:
        """Whether this is somebody's own machine or a test run, served over plain HTTP on loopback."""
        return self.environment in ("local", "test")


def database_settings(url: str) -> dict[str, object]:
    """Django's DATABASES entry for `postgresql://user:password@host:port/name?host=/socket/dir&sslmode=require`.

    Raises ValueError for any other scheme: PostgreSQL is the only database that keeps our constraints.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres"):
        raise ValueError(f"CP_DATABASE_URL must begin with postgresql://, not {parts.scheme or 'nothing'}://")
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    options: dict[str, object] = {
        "connect_timeout": 5,
        "prepare_threshold": 5,
        "options": "-c statement_timeout=15000 -c lock_timeout=5000 -c idle_in_transaction_session_timeout=30000",
    }
    options.update({key: value for key, value in query.items() if key not in ("host", "port")})
    return {
        "ENGINE": "core.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": query.get("host", parts.hostname or ""),
        "PORT": query.get("port", str(parts.port or "")),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
    }


@lru_cache(maxsize=1)
def environment() -> Environment:
    """This process's environment; raises pydantic's ValidationError, which lists every malformed value at once."""
    return Environment()
