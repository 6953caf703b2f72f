"""The role through which another account is entered, and what came of trying to."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Role:
    """A role in another account. AWS calls made with it land there, or nowhere."""

    arn: str
    external_id: str = field(repr=False)

    @property
    def account(self) -> str:
        """The account that the ARN names."""
        return self.arn.split(":")[4]


@dataclass(frozen=True, slots=True)
class Entry:
    """Where an assumed role landed, in AWS's own words."""

    account: str
    arn: str
    request_id: str
