"""Gateways into the account of a wish: our own by the environment's credentials, any other by its registered role.

Nothing falls back: an account that is not ours and not registered cannot be entered.
"""

from collections.abc import Iterable, Mapping

from aws import connect, errors
from aws.gateway import ArtifactStore, HostingGateway, InferenceGateway, MetricsGateway
from aws.roles import Role
from provisioning.models import AwsAccount


class Doors:
    """The gateways of some accounts, whose roles are read once: threads use it without the database.

    `with_closed`: accounts that are registered no more are entered as they last were. That is for looking whether
    something is left there, and for nothing else.
    """

    def __init__(self, accounts: Iterable[str], *, with_closed: bool = False) -> None:
        # The newest registration of an account comes last and counts; one that is open is the newest.
        known = AwsAccount.objects.order_by("pk") if with_closed else AwsAccount.objects.registered()
        rows = known.filter(account_id__in=set(accounts))
        self._roles: Mapping[str, Role] = {row.account_id: role_of(row) for row in rows}

    def role(self, account: str) -> Role | None:
        """How the account is entered; None for our own. Raises AccessLost for one that is not registered."""
        if account in self._roles:
            return self._roles[account]
        if account != connect.account_id():
            raise errors.AccessLost(
                code="AccountNotRegistered",
                message=f"account {account} is not registered, so there is no role to assume",
                operation="AssumeRole",
            )
        return None

    def hosting(self, account: str, region: str) -> HostingGateway:
        """SageMaker hosting there."""
        return connect.hosting(region, role=self.role(account))

    def inference(self, account: str, region: str) -> InferenceGateway:
        """SageMaker invocation there."""
        return connect.inference(region, role=self.role(account))

    def metrics(self, account: str, region: str) -> MetricsGateway:
        """CloudWatch there."""
        return connect.metrics(region, role=self.role(account))

    def copies(self, account: str, region: str, bucket: str) -> ArtifactStore:
        """A bucket for copies of artifacts there."""
        return connect.copies(region, bucket, role=self.role(account))


def role_of(account: AwsAccount) -> Role:
    """How a registered account is entered."""
    return Role(account.role_arn, account.external_id)
