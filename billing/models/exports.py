"""Exports: files over many rows, made in the background."""

from django.db import models
from django.db.models import F, Q

from billing.states import ExportState
from core.models import PublicModel
from tenants.models import Tenant


class Export(PublicModel):
    """A file that somebody asked for: what, in which form, over what; how far it is; and what came of it.

    `tenant` is the one whose data it holds, none for those of every tenant. `lease_until` is real time; whoever writes
    names `fence`, so that a worker that lost its turn changes nothing. `control_totals` are over what was written.
    """

    PREFIX = "exp"

    class Dataset(models.TextChoices):
        INVOICES = "invoices", "Invoices"
        INVOICE_LINES = "invoice-lines", "Invoice lines"
        FOCUS = "focus-1.2", "FOCUS 1.2"
        USAGE = "usage", "Usage by day"
        EVENTS = "events", "Audit trail"

    class Format(models.TextChoices):
        CSV = "csv", "CSV"
        XLSX = "xlsx", "XLSX"
        JSON_LINES = "jsonl", "JSON lines"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, null=True, related_name="exports")
    dataset = models.CharField(max_length=20, choices=Dataset.choices)
    format = models.CharField(max_length=8, choices=Format.choices)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    invoice_states = models.JSONField(default=list)
    state = models.CharField(max_length=10, choices=ExportState.choices, default=ExportState.QUEUED)
    actor_kind = models.CharField(max_length=10)
    actor_ref = models.CharField(max_length=200)
    actor_name = models.CharField(max_length=200)
    progress_done = models.PositiveBigIntegerField(default=0)
    progress_total = models.PositiveBigIntegerField(default=0)
    row_count = models.PositiveBigIntegerField(default=0)
    control_totals = models.JSONField(default=dict)
    size_bytes = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    artifact_key = models.CharField(max_length=200, blank=True)
    problem = models.TextField(blank=True)
    attempts = models.PositiveIntegerField(default=0)
    fence = models.PositiveBigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["id"], name="export_waiting", condition=Q(state__in=["queued", "running"])),
            models.Index(fields=["expires_at"], name="export_kept", condition=Q(state="done")),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=ExportState.values), name="export_state_known"),
            models.CheckConstraint(condition=Q(period_end__gt=F("period_start")), name="export_period_forward"),
            models.CheckConstraint(
                condition=~Q(state="done") | ~Q(sha256="", artifact_key=""), name="export_done_has_file"
            ),
        ]

    @property
    def percent(self) -> int:
        """How far it is, 0 to 100; a finished one is 100 whatever was counted at its start."""
        if self.state in (ExportState.DONE, ExportState.EXPIRED):
            return 100
        return min(99, 100 * self.progress_done // self.progress_total) if self.progress_total else 0

    @property
    def filename(self) -> str:
        """What the file is called when it is saved."""
        return f"{self.dataset}-{self.period_start:%Y%m%d}-{self.period_end:%Y%m%d}-{self.public_id}.{self.format}"
