"""What should serve, and what did serve when."""

from django.contrib.postgres.fields import DateTimeRangeField
from django.db import models

from core import clock
from core.models import PublicModel
from models_registry.models.adapters import Adapter
from models_registry.models.versions import AdapterVersion
from models_registry.states import ReleaseState


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
