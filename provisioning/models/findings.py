"""What inventories of AWS found that should not be so, kept as rows until an inventory does not see it any more."""

from datetime import timedelta
from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from core import clock
from core.models import PublicModel
from provisioning.specs import POOL
from tenants.models import Tenant
from tenants.scoping import TenantScoped

# In sweeps: 30 min in production, 2 min in the local stack. One sighting can be a listing that lags behind AWS, or a
# row that is on its way back from a backup.
SWEEPS_APART = 120
FEWEST_SIGHTINGS = 2


class FindingKind(models.TextChoices):
    """In which way AWS and our rows differ."""

    ORPHAN = "orphan", "Orphan"
    MISSING = "missing", "Missing"
    DRIFT = "drift", "Drift"
    STUCK = "stuck", "Stuck"


ADVICE: dict[str, str] = {
    FindingKind.ORPHAN: "Nobody uses it as far as we know, and AWS may charge for it. Delete it, or ignore it and say "
    "why; adopt it where it is what we wish and do not have.",
    FindingKind.MISSING: "Somebody deleted it in AWS. It is made again by itself; look into CloudTrail for who it was.",
    FindingKind.DRIFT: "Somebody changed it in AWS. It is set back by itself at the next look; change the line instead "
    "if the change was right.",
    FindingKind.STUCK: "It waits for a quota, for capacity or for a person; its operation says what to do.",
}


ANOTHER_ARTIFACT = (
    "Somebody put another artifact under it, so what answers may not be what was released. Delete the component in "
    "AWS: it is made again by itself from what was released. Look into CloudTrail for who it was."
)


class FindingQuerySet(TenantScoped, models.QuerySet["InventoryFinding"]):
    """Scoped reads."""

    def still_there(self) -> Self:
        """Those that the last inventory still saw."""
        return self.filter(resolved_at=None)


class InventoryFinding(PublicModel):
    """One difference, from its first sighting until an inventory did not see it (`resolved_at`). Times are real time.

    `needs` are the AWS names that an orphan runs on. Drift has what we wish in `before` and what AWS shows in `after`.
    `resource` is our row; an orphan has one once its deletion was ordered or a wish adopted it.
    """

    PREFIX = "fnd"

    kind = models.CharField(max_length=10, choices=FindingKind.choices)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, null=True, related_name="+")
    resource = models.ForeignKey(
        "provisioning.ManagedResource", on_delete=models.PROTECT, null=True, related_name="findings"
    )
    account = models.CharField(max_length=12)
    region = models.CharField(max_length=20)
    aws_kind = models.CharField(max_length=20)
    name = models.CharField(max_length=63)
    arn = models.CharField(max_length=200, blank=True)
    tags = models.JSONField(default=dict)
    needs = ArrayField(models.CharField(max_length=63), default=list)
    detail = models.TextField(blank=True)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    usd_per_hour = models.DecimalField(max_digits=12, decimal_places=4, null=True)
    first_seen_at = models.DateTimeField(default=clock.real_now)
    last_seen_at = models.DateTimeField(default=clock.real_now)
    sightings = models.PositiveIntegerField(default=1)
    resolved_at = models.DateTimeField(null=True)
    ignored_reason = models.TextField(blank=True)
    ignored_by = models.CharField(max_length=200, blank=True)

    objects = FindingQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "account", "region", "aws_kind", "name"],
                name="finding_one_open_of_a_kind",
                condition=Q(resolved_at=None),
            ),
            models.CheckConstraint(condition=Q(kind__in=FindingKind.values), name="finding_kind_known"),
        ]

    @property
    def is_confirmed(self) -> bool:
        """Whether it counts: an orphan only after two sightings that lie far enough apart."""
        if self.kind != FindingKind.ORPHAN:
            return True
        apart = timedelta(seconds=SWEEPS_APART * settings.ENV.sweep_seconds)
        return self.sightings >= FEWEST_SIGHTINGS and self.last_seen_at - self.first_seen_at >= apart

    @property
    def is_wrong(self) -> bool:
        """Whether somebody should do something about it: confirmed, still there, and not ignored."""
        return self.is_confirmed and self.resolved_at is None and not self.ignored_reason

    @property
    def is_being_deleted(self) -> bool:
        """Whether an orphan's deletion was ordered."""
        return self.kind == FindingKind.ORPHAN and self.resource is not None and not self.resource.is_wanted

    @property
    def is_adopted(self) -> bool:
        """Whether a wish took an orphan over; the next inventory sees it no more."""
        return self.kind == FindingKind.ORPHAN and self.resource is not None and self.resource.is_wanted

    @property
    def available_actions(self) -> list[str]:
        """What people can do about it now: adopt, delete, ignore, unignore."""
        if self.resolved_at is not None or self.is_being_deleted or self.is_adopted:
            return []
        own = ["adopt", "delete"] if self.kind == FindingKind.ORPHAN else []
        return [*own, "unignore" if self.ignored_reason else "ignore"]

    @property
    def owner(self) -> str:
        """Whose it is. An orphan has only its tag to say so, and the tag may name nobody whom we know."""
        if self.tenant is not None:
            return self.tenant.name
        claim = self.tags.get("cp:tenant", "")
        if self.kind != FindingKind.ORPHAN or claim == POOL:
            return "shared"
        return f"unknown: tag says {claim}" if claim else "unknown: no tag says"

    @property
    def what_to_do(self) -> str:
        """Advice for whoever reads it."""
        if self.is_being_deleted:
            return "Its deletion was ordered; the reconciler deletes it once nothing runs on it."
        if self.is_adopted:
            return "A wish took it over; the reconciler reads its tags and settles it."
        if self.kind == FindingKind.DRIFT and "artifact_url" in self.after:
            return ANOTHER_ARTIFACT
        if not self.is_confirmed:
            return "Seen for the first time. It counts when a later inventory sees it again."
        return ADVICE[self.kind]


class InventoryLook(models.Model):
    """When an account was last listed completely (real time), and how many of our objects AWS held, by kind."""

    account = models.CharField(max_length=12, unique=True)
    at = models.DateTimeField()
    counts = models.JSONField(default=dict)
