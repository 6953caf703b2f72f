"""Tenants, versioned tiers, and who was on which tier when."""

from collections.abc import Collection
from typing import Self

from django.contrib.postgres.fields import ArrayField, DateTimeRangeField
from django.db import models

from core import clock
from core.models import PublicModel
from tenants.states import TenantState


class Tier(PublicModel):
    """A named promise, such as Basic; what it promises is in its versions."""

    PREFIX = "tier"

    key = models.SlugField(max_length=30, unique=True)
    name = models.CharField(max_length=60)
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return self.name


class TierVersion(PublicModel):
    """What a tier promises, fixed once published: tenants stay on the version that they were placed on.

    `on_suspend` says what happens to a suspended tenant's own resources, `retention_days` how long a departed tenant's
    artifacts are kept after it began to leave. `approval` says who must agree before a version of an adapter serves.

    The rooms above add their parts: serving lines in `provisioning.TierRoute`, prices in `billing.TierPrice`.
    """

    PREFIX = "tv"

    class Isolation(models.TextChoices):
        POOL = "pool", "Pool"
        SPLIT = "split", "The tenant's own account"
        DEDICATED = "dedicated", "An account of ours for the tenant alone"

    class Suspension(models.TextChoices):
        KEEP = "keep", "Keep its resources"
        REMOVE = "remove", "Remove its resources"

    class Approval(models.TextChoices):
        NONE = "none", "Not needed"
        REQUIRED = "required", "Somebody approves"
        FOUR_EYES = "four_eyes", "Somebody other than the uploader approves"

    tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    isolation = models.CharField(max_length=20, choices=Isolation.choices, default=Isolation.POOL)
    max_adapters = models.PositiveIntegerField()
    max_adapter_bytes = models.PositiveBigIntegerField()
    max_lora_rank = models.PositiveIntegerField()
    keep_previous_warm = models.BooleanField()
    warm_window_hours = models.PositiveIntegerField()
    on_suspend = models.CharField(max_length=10, choices=Suspension.choices, default=Suspension.KEEP)
    retention_days = models.PositiveIntegerField(default=0)
    approval = models.CharField(max_length=10, choices=Approval.choices, default=Approval.NONE)
    published_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tier", "number"], name="tier_version_number_unique"),
            models.CheckConstraint(
                condition=models.Q(approval__in=["none", "required", "four_eyes"]), name="tier_version_approval_known"
            ),
            models.CheckConstraint(
                condition=models.Q(isolation__in=["pool", "split", "dedicated"], on_suspend__in=["keep", "remove"]),
                name="tier_version_words_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tier.name} v{self.number}"


class TierLimit(models.Model):
    """How many tokens a tier version allows in a window; fixed together with the version.

    `hard` refuses, `soft` lets pass and marks, `shadow` only counts, so that a limit can be tried before it bites.
    A day and a month are those of the tenant's billing time zone.
    """

    class Meter(models.TextChoices):
        INPUT = "input_tokens", "Input tokens"
        OUTPUT = "output_tokens", "Output tokens"
        TOTAL = "total_tokens", "Tokens in and out"

    class Window(models.TextChoices):
        MINUTE = "minute", "Minute"
        DAY = "day", "Day"
        MONTH = "month", "Month"

    class Mode(models.TextChoices):
        HARD = "hard", "Hard"
        SOFT = "soft", "Soft"
        SHADOW = "shadow", "Shadow"

    tier_version = models.ForeignKey(TierVersion, on_delete=models.PROTECT, related_name="token_limits")
    meter = models.CharField(max_length=20, choices=Meter.choices)
    window = models.CharField(max_length=10, choices=Window.choices)
    amount = models.PositiveBigIntegerField()
    mode = models.CharField(max_length=10, choices=Mode.choices)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["tier_version", "meter", "window"], name="tier_limit_once"),
            models.CheckConstraint(
                condition=models.Q(
                    meter__in=["input_tokens", "output_tokens", "total_tokens"],
                    window__in=["minute", "day", "month"],
                    mode__in=["hard", "soft", "shadow"],
                    amount__gte=1,
                ),
                name="tier_limit_known",
            ),
        ]


class TenantQuerySet(models.QuerySet["Tenant"]):
    """Scoped reads."""

    def visible_to(self, tenant_ids: Collection[int] | None) -> Self:
        """Those among `tenant_ids`; None means all."""
        return self if tenant_ids is None else self.filter(pk__in=tenant_ids)


class Tenant(PublicModel):
    """A customer. The slug is reserved for ever: AWS names and S3 prefixes of the past carry it.

    `retain_until` is set when it begins to leave: until then its artifacts stay in the bucket.
    """

    PREFIX = "ten"

    class InvoiceLanguage(models.TextChoices):
        ENGLISH = "en", "English"
        JAPANESE = "ja", "日本語"

    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=20, unique=True)
    external_id = models.CharField(max_length=100, null=True, unique=True)
    currency = models.CharField(max_length=3)
    billing_timezone = models.CharField(max_length=60)
    invoice_language = models.CharField(max_length=2, choices=InvoiceLanguage.choices)
    contact_email = models.EmailField(blank=True)
    tags = models.JSONField(default=dict)
    allowed_regions = ArrayField(models.CharField(max_length=20), default=list)
    state = models.CharField(max_length=20, choices=TenantState.choices, default=TenantState.SIGNED_UP)
    state_reason = models.TextField(blank=True)
    version = models.PositiveIntegerField(default=1)
    signed_up_at = models.DateTimeField(default=clock.now)
    activated_at = models.DateTimeField(null=True)
    offboarded_at = models.DateTimeField(null=True)
    retain_until = models.DateTimeField(null=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["name", "id"], name="tenant_by_name"),
            models.Index(fields=["state", "-id"], name="tenant_by_state"),
        ]
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=TenantState.values), name="tenant_state_known"),
        ]

    def __str__(self) -> str:
        return self.name


class TierAssignment(PublicModel):
    """Which tier version a tenant is on, from when until when; ranges of one tenant never overlap."""

    PREFIX = "ta"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="assignments")
    tier_version = models.ForeignKey(TierVersion, on_delete=models.PROTECT, related_name="assignments")
    period = DateTimeRangeField()


class OffboardingStep(models.Model):
    """One thing a departure waits for. The room that owns it completes it; the last one ends the departure."""

    class Key(models.TextChoices):
        ACCESS = "access", "Access revoked"
        REGISTRY = "registry", "Model packages deleted in AWS"
        RESOURCES = "resources", "Resources deleted in AWS"
        FINAL_INVOICE = "final_invoice", "Final invoice issued"
        ARTIFACTS = "artifacts", "Artifacts erased"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="offboarding_steps")
    key = models.CharField(max_length=20, choices=Key.choices)
    done_at = models.DateTimeField(null=True)
    detail = models.JSONField(default=dict)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["tenant", "key"], name="offboarding_step_unique")]


class LegalHold(PublicModel):
    """Somebody's order to erase nothing of a tenant, in force until it is released; one at a time."""

    PREFIX = "hold"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="legal_holds")
    reason = models.TextField()
    placed_at = models.DateTimeField(default=clock.now)
    placed_by = models.CharField(max_length=200)
    released_at = models.DateTimeField(null=True)
    released_by = models.CharField(max_length=200, blank=True)
    release_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"], name="legal_hold_one_in_force", condition=models.Q(released_at=None)
            ),
        ]
