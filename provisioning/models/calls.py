"""What AWS was asked about a resource and what it said, for the people who follow an operation."""

from django.db import models

from core import clock
from provisioning.models.resources import ManagedResource


class ResourceCall(models.Model):
    """A call about a resource: one that changed AWS, or any that AWS refused or lost.

    The same call with the same answer is one row: `times` counts it, `at` and `request_id` are those of the last. So
    a resource has as many rows as it has had different answers, however long it is stuck. `said` is empty for a call
    that AWS took. Times are business time.
    """

    resource = models.ForeignKey(ManagedResource, on_delete=models.CASCADE, related_name="calls")
    operation = models.CharField(max_length=60)
    said = models.TextField(blank=True)
    said_digest = models.CharField(max_length=32)
    request_id = models.CharField(max_length=100, blank=True)
    times = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField(default=clock.now)
    at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["-at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["resource", "operation", "said_digest"], name="resource_call_once_per_answer"
            )
        ]
