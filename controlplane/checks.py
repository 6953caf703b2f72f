"""System checks that refuse unsafe combinations before anything is served."""

from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from controlplane.env import Environment

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
SHORTEST_SECRET = 32


@register()
def safe_settings(**_: object) -> list[CheckMessage]:
    """Errors for settings under which secrets, clocks or the wrong AWS account would do damage."""
    return refusals(settings.ENV)


def refusals(env: Environment) -> list[CheckMessage]:
    """The errors for one environment; empty when it is safe."""
    found: list[CheckMessage] = []
    for name in ("secret_key", "api_key_pepper", "config_signing_key", "webhook_signing_key"):
        if len(getattr(env, name).get_secret_value()) < SHORTEST_SECRET:
            variable = f"CP_{name.upper()}"
            found.append(Error(f"{variable} is missing or shorter than {SHORTEST_SECRET} characters.", id=f"cp.{name}"))
    loopback_aws = env.aws_endpoint_url is not None and urlsplit(env.aws_endpoint_url).hostname in LOOPBACK
    if env.test_clock_file and not loopback_aws:
        found.append(Error("CP_TEST_CLOCK_FILE is set without an AWS_ENDPOINT_URL on loopback.", id="cp.test_clock"))
    if env.aws_endpoint_url is None and not env.aws_expected_account_id:
        found.append(
            Error(
                "AWS_EXPECTED_ACCOUNT_ID is not set, so the real AWS will not be used.",
                hint="Set it to the account that this installation may change.",
                id="cp.aws_account",
            )
        )
    if env.aws_timeout_seconds > env.lease_seconds / 4:
        found.append(
            Error(
                "CP_AWS_TIMEOUT_SECONDS is more than a quarter of CP_LEASE_SECONDS.",
                hint="A worker would be killed before it could tell that AWS hangs.",
                id="cp.aws_timeout",
            )
        )
    if env.environment == "production" and "*" in env.allowed_hosts:
        found.append(Error("CP_ALLOWED_HOSTS must name the hosts in production.", id="cp.allowed_hosts"))
    return found
