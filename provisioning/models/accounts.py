"""AWS accounts beside the installation's own, what was proved about them, and which artifacts were copied there.

The installation's own account is not a row: it is whatever the credentials of the environment belong to.
"""

from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from core import clock
from core.models import PublicModel
from models_registry.models import AdapterVersion
from tenants.models import Tenant, TierVersion
from tenants.scoping import TenantScoped

WHAT_TO_DO_ACCESS_LOST = (
    "The account's role cannot be assumed any more. Its owner must restore the role with the trust policy and the "
    "external id of the account page. What runs there goes on; nothing is made, changed or deleted until the role is "
    "back, and nothing moves to another account. It is tried again by itself."
)


class AccountKind(models.TextChoices):
    """Whose account it is; the values are those of `TierVersion.isolation` that need one."""

    SPLIT = TierVersion.Isolation.SPLIT.value, "The tenant's own account"
    DEDICATED = TierVersion.Isolation.DEDICATED.value, "An account of ours for one tenant"


class AwsAccountQuerySet(TenantScoped, models.QuerySet["AwsAccount"]):
    """Scoped and state-wise reads."""

    def registered(self) -> Self:
        """Those that are not closed."""
        return self.filter(closed_at=None)


class AwsAccount(PublicModel):
    """An account that is entered by assuming `role_arn` with `external_id`, which is ours, random and never reused.

    `proven_at`: the proof has passed, so resources may be made there. `access_lost_at`: since when the role cannot be
    assumed, `access_detail` is what AWS said. Times are business time.
    """

    PREFIX = "acc"

    kind = models.CharField(max_length=20, choices=AccountKind.choices)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, null=True, related_name="aws_accounts")
    account_id = models.CharField(max_length=12)
    regions = ArrayField(models.CharField(max_length=20))
    role_arn = models.CharField(max_length=200)
    external_id = models.CharField(max_length=64, unique=True, editable=False)
    execution_role_arn = models.CharField(max_length=200)
    proven_at = models.DateTimeField(null=True)
    access_lost_at = models.DateTimeField(null=True)
    access_detail = models.TextField(blank=True)
    closed_at = models.DateTimeField(null=True)

    objects = AwsAccountQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["account_id"], name="aws_account_once", condition=Q(closed_at=None)),
            models.UniqueConstraint(
                fields=["tenant", "kind"], name="aws_account_one_of_a_kind_per_tenant", condition=Q(closed_at=None)
            ),
            models.CheckConstraint(
                condition=Q(kind__in=AccountKind.values) & (Q(kind="dedicated") | Q(tenant__isnull=False)),
                name="aws_account_known",
            ),
        ]

    def __str__(self) -> str:
        return self.account_id

    @property
    def condition(self) -> str:
        """closed, access_lost, proven or unproven."""
        if self.closed_at:
            return "closed"
        if self.access_lost_at:
            return "access_lost"
        return "proven" if self.proven_at else "unproven"

    @property
    def what_to_do(self) -> str:
        """Advice while something is in the way; empty otherwise."""
        advice = {
            "access_lost": WHAT_TO_DO_ACCESS_LOST,
            "unproven": "Create the roles that the account page shows, then prove them. Nothing is made before that.",
        }
        return advice.get(self.condition, "")


class AccountProof(models.Model):
    """What came of one attempt to enter an account; append-only. An attempt is several checks at one instant `at`."""

    class Check(models.TextChoices):
        WITHOUT = "without_external_id", "Without the external id the role must be refused"
        WRONG = "wrong_external_id", "With another external id the role must be refused"
        RIGHT = "right_external_id", "With our external id the role must be granted"
        LANDED = "landed", "The role must land in the account that was named"

    account = models.ForeignKey(AwsAccount, on_delete=models.PROTECT, related_name="proofs")
    at = models.DateTimeField(default=clock.now)
    check_key = models.CharField(max_length=30, choices=Check.choices)
    has_passed = models.BooleanField()
    detail = models.TextField()
    request_id = models.CharField(max_length=100, blank=True)
    by = models.CharField(max_length=200)

    class Meta:
        ordering = ["-at", "id"]
        indexes = [models.Index(fields=["account", "-at"], name="account_proof_by_account")]
        constraints = [
            models.CheckConstraint(
                condition=Q(check_key__in=["without_external_id", "wrong_external_id", "right_external_id", "landed"]),
                name="account_proof_check_known",
            )
        ]


class ArtifactCopy(models.Model):
    """An adapter version's archive in the bucket of another account or region; the row goes when the copy is erased."""

    adapter_version = models.ForeignKey(AdapterVersion, on_delete=models.PROTECT, related_name="copies")
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+")
    account = models.CharField(max_length=12)
    region = models.CharField(max_length=20)
    url = models.CharField(max_length=1200)
    copied_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["account", "region", "adapter_version"], name="artifact_copy_once")
        ]
