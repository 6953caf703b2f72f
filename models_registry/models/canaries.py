"""Releases in steps: the plan, how far it has come, and which share a canary had when."""

from django.contrib.postgres.fields import ArrayField, DateTimeRangeField
from django.db import models
from django.db.models import Q

from models_registry.canary import Plan
from models_registry.models.adapters import Adapter
from models_registry.models.releases import Release
from models_registry.models.versions import AdapterVersion

EVERYTHING = 100


class Canary(models.Model):
    """The plan of a release, which never changes, and how far it has come.

    `step` counts the shares that are behind it: with all of them behind it the version gets everything. `step_since`
    is when data planes were told of the share, None until they are. `seen` is what the last look found.
    """

    release = models.OneToOneField(Release, on_delete=models.PROTECT, related_name="canary")
    steps = ArrayField(models.PositiveSmallIntegerField())
    bake_minutes = models.PositiveSmallIntegerField()
    max_error_share = models.DecimalField(max_digits=5, decimal_places=4)
    max_latency_ratio = models.DecimalField(max_digits=6, decimal_places=3)
    min_requests = models.PositiveIntegerField()
    step = models.PositiveSmallIntegerField(default=0)
    step_since = models.DateTimeField(null=True)
    paused_at = models.DateTimeField(null=True)
    paused_by = models.CharField(max_length=200, blank=True)
    seen = models.JSONField(default=dict)
    looked_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(steps__len__gte=1) & Q(steps__len__lte=10), name="canary_has_steps"),
            models.CheckConstraint(condition=Q(bake_minutes__gte=1), name="canary_bakes"),
        ]

    @property
    def percent(self) -> int:
        """The share of the requests that the new version should have now."""
        return int(self.steps[self.step]) if self.step < len(self.steps) else EVERYTHING

    @property
    def plan(self) -> Plan:
        """What was asked for."""
        return Plan(
            steps=tuple(self.steps),
            bake_minutes=self.bake_minutes,
            max_error_share=self.max_error_share,
            max_latency_ratio=self.max_latency_ratio,
            min_requests=self.min_requests,
        )


class CanaryInterval(models.Model):
    """From when until when a version had a share of the requests beside what was live; an adapter's never overlap.

    The version that is live has the rest; its own interval is in ServedInterval.
    """

    adapter = models.ForeignKey(Adapter, on_delete=models.PROTECT, related_name="canary_served")
    version = models.ForeignKey(AdapterVersion, on_delete=models.PROTECT, related_name="canary_served")
    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="canary_served")
    percent = models.PositiveSmallIntegerField()
    during = DateTimeRangeField()
