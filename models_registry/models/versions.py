"""The immutable versions of an adapter."""

from django.db import models

from core.models import PublicModel
from models_registry.models.adapters import Adapter
from models_registry.states import UNNUMBERED, Approval, VersionState
from tenants.models import Tenant, TierVersion
from tenants.scoping import TenantScoped


class AdapterVersionQuerySet(TenantScoped, models.QuerySet["AdapterVersion"]):
    """Scoped reads."""


class AdapterVersion(PublicModel):
    """One upload of an adapter. Once ready its content and its number never change (a trigger sees to it).

    `parts` lists the uploaded files in quarantine: name and size in bytes, in the order of their keys. `sha256` and
    `size_bytes` are those of the repacked artifact under `artifact_key`. `claimed_until` (real time) and `attempts`
    belong to whoever works on the row, the uploading request or the validating worker; `waiting_reason` says why
    validation has not ended, when AWS is in the way.

    `approval_policy` is the tier's policy under which `approval` was last set. With `retires_at` set nothing is
    taken away on that day: new releases are refused from then on, and people are told ahead of it.
    """

    PREFIX = "adv"

    # Found through version_of_adapter, which gives them in order as well. With an index on the column alone PostgreSQL
    # reads all of an adapter's versions and sorts them, once it plans for no adapter in particular.
    adapter = models.ForeignKey(Adapter, on_delete=models.PROTECT, related_name="versions", db_index=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+")
    number = models.PositiveIntegerField(null=True)
    state = models.CharField(max_length=20, choices=VersionState.choices, default=VersionState.UPLOADING)
    parts = models.JSONField(default=list)
    quarantine_cleared_at = models.DateTimeField(null=True)
    artifact_key = models.CharField(max_length=200, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    size_bytes = models.PositiveBigIntegerField(null=True)
    rank = models.PositiveIntegerField(null=True)
    alpha = models.FloatField(null=True)
    target_modules = models.JSONField(default=list)
    findings = models.JSONField(default=list)
    facts = models.JSONField(default=dict)
    notes = models.TextField(blank=True)
    metrics = models.JSONField(default=dict)
    dataset_ref = models.CharField(max_length=200, blank=True)
    base_revision = models.CharField(max_length=100, blank=True)
    training_job = models.CharField(max_length=300, blank=True)
    source_uri = models.CharField(max_length=1024, blank=True)
    uploaded_by = models.CharField(max_length=200)
    uploaded_by_ref = models.CharField(max_length=200, blank=True)
    decided_at = models.DateTimeField(null=True)
    claimed_until = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    waiting_reason = models.TextField(blank=True)

    approval = models.CharField(max_length=20, choices=Approval.choices, default=Approval.NOT_REQUIRED)
    approval_policy = models.CharField(
        max_length=20, choices=TierVersion.Approval.choices, default=TierVersion.Approval.NONE
    )
    approval_by = models.CharField(max_length=200, blank=True)
    approval_by_ref = models.CharField(max_length=200, blank=True)
    approval_at = models.DateTimeField(null=True)
    approval_reason = models.TextField(blank=True)

    retires_at = models.DateTimeField(null=True)
    replacement = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="+")
    retirement_reason = models.TextField(blank=True)
    retirement_told = models.CharField(max_length=10, blank=True)

    objects = AdapterVersionQuerySet.as_manager()

    class Meta:
        verbose_name = "adapter version"
        indexes = [
            models.Index(
                fields=["adapter"], name="version_being_checked", condition=models.Q(state=VersionState.VALIDATING)
            ),
            models.Index(fields=["adapter", "state", "-id"], name="version_by_state"),
            models.Index(
                fields=["tenant", "state"],
                name="version_undecided",
                condition=models.Q(state__in=[VersionState.UPLOADING, VersionState.IMPORTING, VersionState.VALIDATING]),
            ),
            models.Index(
                fields=["id"],
                name="version_waits_for_approval",
                condition=models.Q(approval=Approval.PENDING, state=VersionState.READY),
            ),
            models.Index(fields=["retires_at"], name="version_retiring", condition=models.Q(retires_at__isnull=False)),
            models.Index(
                fields=["id"], name="version_in_quarantine", condition=models.Q(quarantine_cleared_at__isnull=True)
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["adapter", "number"], name="version_number_unique"),
            models.UniqueConstraint(fields=["adapter", "id"], name="version_of_adapter"),
            models.CheckConstraint(condition=models.Q(state__in=VersionState.values), name="version_state_known"),
            models.CheckConstraint(
                condition=models.Q(
                    ~models.Q(sha256=""),
                    ~models.Q(artifact_key=""),
                    state__in=[VersionState.READY, VersionState.ARCHIVED],
                    number__isnull=False,
                    size_bytes__isnull=False,
                    rank__isnull=False,
                )
                | models.Q(state__in=UNNUMBERED, number__isnull=True),
                name="version_numbered_when_ready",
            ),
            models.CheckConstraint(condition=models.Q(approval__in=Approval.values), name="version_approval_known"),
            models.CheckConstraint(
                condition=models.Q(approval__in=[Approval.PENDING, Approval.NOT_REQUIRED])
                | models.Q(~models.Q(approval_by_ref=""), approval_at__isnull=False),
                name="version_approval_by_somebody",
            ),
            models.CheckConstraint(
                condition=~models.Q(approval=Approval.APPROVED, approval_policy=TierVersion.Approval.FOUR_EYES)
                | ~models.Q(approval_by_ref=models.F("uploaded_by_ref")),
                name="version_four_eyes",
            ),
            models.CheckConstraint(
                condition=models.Q(replacement__isnull=True) | ~models.Q(replacement=models.F("id")),
                name="version_replaced_by_another",
            ),
        ]

    def __str__(self) -> str:
        return f"v{self.number}" if self.number else self.public_id
