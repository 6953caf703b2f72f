"""Base models on offer, adapters and their immutable versions, and what should serve and did serve when."""

from collections.abc import Collection
from typing import Self

from django.contrib.postgres.fields import DateTimeRangeField
from django.db import models

from core import clock
from core.models import PublicModel
from models_registry.states import ReleaseState, VersionState
from tenants.models import Tenant


class FoundationModel(PublicModel):
    """A base model on offer. The numbers come from its config.json, which is kept whole."""

    PREFIX = "fm"

    name = models.CharField(max_length=80)
    revision = models.CharField(max_length=80, blank=True)
    config = models.JSONField()
    family = models.CharField(max_length=40)
    layers = models.PositiveIntegerField()
    hidden_size = models.PositiveIntegerField()
    attention_heads = models.PositiveIntegerField()
    key_value_heads = models.PositiveIntegerField()
    head_dim = models.PositiveIntegerField()
    vocabulary_size = models.PositiveIntegerField()
    context_length = models.PositiveIntegerField(null=True)
    model_data_uri = models.CharField(max_length=1024)

    class Meta:
        ordering = ["name", "revision"]
        constraints = [models.UniqueConstraint(fields=["name", "revision"], name="foundation_model_unique")]

    def __str__(self) -> str:
        return f"{self.name} {self.revision}".strip()


class ServingProfile(PublicModel):
    """How a base model is served: the container, the engine whose rules uploads must meet, and its limits."""

    PREFIX = "sp"

    name = models.SlugField(max_length=60, unique=True)
    foundation_model = models.ForeignKey(FoundationModel, on_delete=models.PROTECT, related_name="serving_profiles")
    image = models.CharField(max_length=255)
    engine = models.CharField(max_length=40)
    max_lora_rank = models.PositiveIntegerField()
    max_loras = models.PositiveIntegerField()
    accelerators = models.PositiveIntegerField()
    min_memory_mb = models.PositiveIntegerField()
    environment = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.name


class AdapterQuerySet(models.QuerySet["Adapter"]):
    """Scoped reads."""

    def visible_to(self, tenant_ids: Collection[int] | None) -> Self:
        """Those of the tenants among `tenant_ids`; None means all."""
        return self if tenant_ids is None else self.filter(tenant_id__in=tenant_ids)


class Adapter(PublicModel):
    """A tenant's line of versions for one base model; its name is the route that the data plane asks for.

    `latest_version` is the newest that passed the gate, `live_version` the one that answers now.
    `next_number` and `next_sequence` are taken by UPDATE ... RETURNING, so numbers have no gaps and no doubles.
    """

    PREFIX = "adp"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="adapters")
    foundation_model = models.ForeignKey(FoundationModel, on_delete=models.PROTECT, related_name="adapters")
    serving_profile = models.ForeignKey(ServingProfile, on_delete=models.PROTECT, related_name="adapters")
    name = models.SlugField(max_length=40)
    latest_version = models.ForeignKey("AdapterVersion", on_delete=models.PROTECT, null=True, related_name="+")
    live_version = models.ForeignKey("AdapterVersion", on_delete=models.PROTECT, null=True, related_name="+")
    next_number = models.PositiveIntegerField(default=1)
    next_sequence = models.PositiveIntegerField(default=1)

    objects = AdapterQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="adapter_name_unique"),
            # Nothing to enforce (id is unique already): what the composite foreign keys of the children point at.
            models.UniqueConstraint(fields=["tenant", "id"], name="adapter_of_tenant"),
        ]

    def __str__(self) -> str:
        return self.name


class AdapterVersionQuerySet(models.QuerySet["AdapterVersion"]):
    """Scoped reads."""

    def visible_to(self, tenant_ids: Collection[int] | None) -> Self:
        """Those of the tenants among `tenant_ids`; None means all."""
        return self if tenant_ids is None else self.filter(tenant_id__in=tenant_ids)


class AdapterVersion(PublicModel):
    """One upload of an adapter. Once ready its content and its number never change (a trigger sees to it).

    `parts` lists the uploaded files in quarantine: name and size in bytes, in the order of their keys. `sha256` and
    `size_bytes` are those of the repacked artifact under `artifact_key`. `claimed_until` (real time) and `attempts`
    belong to whoever works on the row, the uploading request or the validating worker; `waiting_reason` says why
    validation has not ended, when AWS is in the way.
    """

    PREFIX = "adv"

    adapter = models.ForeignKey(Adapter, on_delete=models.PROTECT, related_name="versions")
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
    uploaded_by = models.CharField(max_length=200)
    decided_at = models.DateTimeField(null=True)
    claimed_until = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    waiting_reason = models.TextField(blank=True)

    objects = AdapterVersionQuerySet.as_manager()

    class Meta:
        verbose_name = "adapter version"
        indexes = [
            models.Index(fields=["adapter", "-id"], name="version_by_adapter"),
            models.Index(
                fields=["state"],
                name="version_undecided",
                condition=models.Q(state__in=[VersionState.UPLOADING, VersionState.VALIDATING]),
            ),
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
                | models.Q(
                    state__in=[VersionState.UPLOADING, VersionState.VALIDATING, VersionState.REJECTED],
                    number__isnull=True,
                ),
                name="version_numbered_when_ready",
            ),
        ]

    def __str__(self) -> str:
        return f"v{self.number}" if self.number else self.public_id


class Release(PublicModel):
    """The decision that a version should serve (or, with no version, that none should). Only its state moves."""

    PREFIX = "rel"

    class Kind(models.TextChoices):
        RELEASE = "release", "Release"
        ROLL_BACK = "roll_back", "Roll back"
        WITHDRAW = "withdraw", "Withdraw"

    adapter = models.ForeignKey(Adapter, on_delete=models.PROTECT, related_name="releases")
    version = models.ForeignKey(AdapterVersion, on_delete=models.PROTECT, null=True, related_name="releases")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    sequence = models.PositiveIntegerField()
    state = models.CharField(max_length=20, choices=ReleaseState.choices, default=ReleaseState.PENDING)
    refusal_code = models.CharField(max_length=60, blank=True)
    refusal_detail = models.TextField(blank=True)
    evidence = models.JSONField(default=dict)
    reason = models.TextField(blank=True)
    requested_by = models.CharField(max_length=200)
    requested_at = models.DateTimeField(default=clock.now)
    live_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["adapter", "sequence"], name="release_sequence_unique"),
            models.UniqueConstraint(
                fields=["adapter"], condition=models.Q(state=ReleaseState.LIVE), name="release_one_live"
            ),
            models.CheckConstraint(condition=models.Q(state__in=ReleaseState.values), name="release_state_known"),
            models.CheckConstraint(
                condition=models.Q(kind="withdraw", version__isnull=True)
                | models.Q(kind__in=["release", "roll_back"], version__isnull=False),
                name="release_has_version",
            ),
        ]


class ServedInterval(models.Model):
    """From when until when a version answered; the intervals of one adapter never overlap.

    A release has several where its tenant was suspended meanwhile.
    """

    adapter = models.ForeignKey(Adapter, on_delete=models.PROTECT, related_name="served")
    version = models.ForeignKey(AdapterVersion, on_delete=models.PROTECT, related_name="served")
    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="served")
    during = DateTimeRangeField()
