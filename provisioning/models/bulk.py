"""One deed for many tenants, with what became of each."""

from django.db import models
from django.db.models import Q

from core import clock
from core.models import PublicModel
from provisioning.models.operations import Operation
from tenants.models import Tenant, TierVersion


class BulkOperation(PublicModel):
    """Change the tier of, suspend or resume many tenants. Its items tell how far it is; it ends when all have."""

    PREFIX = "bulk"

    class Kind(models.TextChoices):
        CHANGE_TIER = "change_tier", "Change tier"
        SUSPEND = "suspend", "Suspend"
        RESUME = "resume", "Resume"

    kind = models.CharField(max_length=20, choices=Kind.choices)
    tier_version = models.ForeignKey(TierVersion, on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.TextField(blank=True)
    started_by = models.CharField(max_length=200)
    actor = models.JSONField()
    started_at = models.DateTimeField(default=clock.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="change_tier", tier_version__isnull=False)
                | Q(kind__in=["suspend", "resume"], tier_version__isnull=True),
                name="bulk_operation_kind_known",
            ),
        ]

    @property
    def title(self) -> str:
        """What is done, without to whom."""
        return f"{self.get_kind_display()} to {self.tier_version}" if self.tier_version else self.get_kind_display()


class BulkItem(models.Model):
    """One tenant of a bulk operation. `code` is the refusal's; `attempts` counts the tries."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        WORKING = "working", "Under way"
        DONE = "done", "Done"
        SKIPPED = "skipped", "Nothing to do"
        FAILED = "failed", "Failed"

    bulk = models.ForeignKey(BulkOperation, on_delete=models.CASCADE, related_name="items")
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+")
    operation = models.ForeignKey(Operation, on_delete=models.PROTECT, null=True, related_name="+")
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    code = models.CharField(max_length=60, blank=True)
    detail = models.TextField(blank=True)
    attempts = models.PositiveIntegerField(default=0)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["bulk", "tenant"], name="bulk_item_once_per_tenant"),
            models.CheckConstraint(
                condition=Q(state__in=["waiting", "working", "done", "skipped", "failed"]),
                name="bulk_item_state_known",
            ),
        ]
        indexes = [models.Index(fields=["bulk", "state"], name="bulk_item_by_state")]
