"""Usage as it was measured, how well each hour is known, and what was sealed for invoices.

A bucket's natural key is (tenant, start, meter, line, adapter version, source): collecting the same hour again writes
the same row. Every value it had before is a UsageRevision; what an invoice may claim is a SealedBucket. Both only
grow. The three tables are partitioned by the month of `bucket_start` (`metering.partitions`); so revisions and claims
carry it and point to their bucket by both columns. What points where is checked per statement: see migration 0010.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from core import clock
from core.models import PublicModel
from metering.meters import METERS
from metering.states import WindowState
from tenants.models import Tenant

BUCKET_SECONDS = [900, 3600]
METER_CHOICES = [(meter.key, meter.title) for meter in METERS.values()]


class MeteringScope(models.Model):
    """A group of tenants whose usage in one account and region is read together, in buckets of one size.

    Small enough that one tenant's trouble holds up few others, large enough that a read is a handful of calls.
    `settled_until` is the watermark: every window before it is settled. `account` is empty for the installation's own.
    """

    key = models.CharField(max_length=60, unique=True)
    account = models.CharField(max_length=12, blank=True, default="")
    region = models.CharField(max_length=20)
    bucket_seconds = models.PositiveIntegerField()
    starts_at = models.DateTimeField()
    settled_until = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(bucket_seconds__in=BUCKET_SECONDS), name="scope_bucket_known"),
            models.CheckConstraint(condition=Q(settled_until__gte=F("starts_at")), name="scope_watermark_in_order"),
        ]

    def __str__(self) -> str:
        return self.key


class Enrolment(models.Model):
    """From when until when a tenant's usage is read in which scope; on whole hours, one open per account and region.

    `account` and `region` are the scope's, so that the database can hold that.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="enrolments")
    scope = models.ForeignKey(MeteringScope, on_delete=models.PROTECT, related_name="enrolments")
    account = models.CharField(max_length=12, blank=True, default="")
    region = models.CharField(max_length=20)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "account", "region", "starts_at"], name="enrolment_unique"),
            models.UniqueConstraint(
                fields=["tenant", "account", "region"], condition=Q(ends_at__isnull=True), name="enrolment_one_open"
            ),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")), name="enrolment_in_order"
            ),
        ]


class CollectionWindow(models.Model):
    """One hour of one scope: when it was read, what is wrong with it, and when it is due again.

    `fence` and `lease_until` (real time) keep a worker that lost its turn from writing what it read earlier.
    """

    scope = models.ForeignKey(MeteringScope, on_delete=models.PROTECT, related_name="windows")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    state = models.CharField(max_length=12, choices=WindowState.choices, default=WindowState.WAITING)
    due_at = models.DateTimeField(null=True)
    reads = models.PositiveIntegerField(default=0)
    fetched_at = models.DateTimeField(null=True)
    problem = models.TextField(blank=True)
    request_ids = ArrayField(models.CharField(max_length=100), default=list)
    fence = models.PositiveBigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["scope", "starts_at"], name="window_unique"),
            models.CheckConstraint(condition=Q(state__in=WindowState.values), name="window_state_known"),
        ]
        indexes = [
            models.Index(fields=["due_at"], name="window_due", condition=Q(due_at__isnull=False)),
            models.Index(fields=["scope", "starts_at"], name="window_open", condition=~Q(state="settled")),
        ]


class UsageBucket(models.Model):
    """What one tenant used of one meter, by one adapter version on one line, from `bucket_start` for so many seconds.

    `quantity` is the newest absolute value, `sealed_quantity` what seals have claimed of it so far.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="usage", db_constraint=False)
    meter = models.CharField(max_length=30, choices=METER_CHOICES)
    line = models.CharField(max_length=30)
    adapter_version = models.CharField(max_length=40, blank=True)
    bucket_start = models.DateTimeField()
    bucket_seconds = models.PositiveIntegerField()
    quantity = models.DecimalField(max_digits=38, decimal_places=0)
    revision = models.PositiveIntegerField(default=1)
    source = models.CharField(max_length=320)
    fetched_at = models.DateTimeField()
    request_id = models.CharField(max_length=200, blank=True)
    sealed_quantity = models.DecimalField(max_digits=38, decimal_places=0, default=0)
    sealed_revision = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "bucket_start", "meter", "line", "adapter_version", "source"],
                name="usage_bucket_unique",
            ),
            models.CheckConstraint(condition=Q(quantity__gte=0), name="usage_bucket_not_negative"),
            models.CheckConstraint(condition=Q(bucket_seconds__in=BUCKET_SECONDS), name="usage_bucket_seconds_known"),
            models.CheckConstraint(condition=Q(meter__in=[*METERS]), name="usage_bucket_meter_known"),
            models.CheckConstraint(condition=Q(sealed_revision__lte=F("revision")), name="usage_bucket_seal_not_ahead"),
        ]


class UsageRevision(models.Model):
    """A value that a bucket had before its present one; append-only. The present one is the bucket itself."""

    bucket = models.ForeignKey(
        UsageBucket, on_delete=models.PROTECT, related_name="revisions", db_constraint=False, db_index=False
    )
    bucket_start = models.DateTimeField()
    revision = models.PositiveIntegerField()
    quantity = models.DecimalField(max_digits=38, decimal_places=0)
    fetched_at = models.DateTimeField()
    request_id = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["bucket", "revision", "bucket_start"], name="usage_revision_unique")
        ]


class SourceAnswer(models.Model):
    """What CloudWatch answered to one call, as a digest; never edited. Values point to it by request id and time.

    `sha256` is over the answered series in canonical form (`metering.evidence`): asking the same queries about the
    same span again gives the same digest as long as CloudWatch says the same.
    """

    request_id = models.CharField(max_length=200)
    fetched_at = models.DateTimeField()
    region = models.CharField(max_length=20)
    span_start = models.DateTimeField()
    span_end = models.DateTimeField()
    queries = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["request_id", "fetched_at"], name="source_answer_unique"),
        ]


class ParkedPoint(models.Model):
    """A value that cannot be a count, kept as text; it holds up sealing until a later read mends it."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="parked_points")
    meter = models.CharField(max_length=30, choices=METER_CHOICES)
    line = models.CharField(max_length=30)
    adapter_version = models.CharField(max_length=40)
    bucket_start = models.DateTimeField()
    source = models.CharField(max_length=320)
    value = models.CharField(max_length=60)
    reason = models.CharField(max_length=200)
    fetched_at = models.DateTimeField()
    request_id = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "bucket_start", "meter", "line", "adapter_version", "source"],
                name="parked_point_unique",
            )
        ]


class UnattributedUsage(models.Model):
    """Usage that is nobody's, with the reason; shown to operators, never billed, never dropped."""

    region = models.CharField(max_length=20)
    namespace = models.CharField(max_length=255)
    metric = models.CharField(max_length=255)
    dimensions = models.JSONField()
    series_sha256 = models.CharField(max_length=64)
    bucket_start = models.DateTimeField()
    bucket_seconds = models.PositiveIntegerField()
    value = models.FloatField()
    reason = models.CharField(max_length=500)
    fetched_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["series_sha256", "bucket_start", "bucket_seconds"], name="unattributed_usage_unique"
            )
        ]


class Seal(PublicModel):
    """The usage of a tenant and period as invoices may claim it. Revision 1 is the period, later ones are corrections.

    `sha256` is over the claimed rows in canonical form (`metering.services.sealing`); append-only.
    """

    PREFIX = "seal"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="seals")
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    revision = models.PositiveIntegerField()
    bucket_count = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    sealed_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "period_start", "period_end", "revision"], name="seal_unique"),
            models.CheckConstraint(condition=Q(period_end__gt=F("period_start")), name="seal_period_in_order"),
        ]


class SealedBucket(models.Model):
    """What a seal claims of a bucket: the change since the seal before; append-only.

    Unique per bucket and revision, so nothing can be claimed twice.
    """

    seal = models.ForeignKey(Seal, on_delete=models.PROTECT, related_name="buckets")
    bucket = models.ForeignKey(
        UsageBucket, on_delete=models.PROTECT, related_name="claims", db_constraint=False, db_index=False
    )
    bucket_start = models.DateTimeField()
    bucket_revision = models.PositiveIntegerField()
    quantity = models.DecimalField(max_digits=38, decimal_places=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["bucket", "bucket_revision", "bucket_start"], name="sealed_bucket_once")
        ]
