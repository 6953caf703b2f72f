"""How many changing calls AWS is sent: one row per account, region and API operation, shared by all workers."""

from django.db import models

from core import clock


class CallBucket(models.Model):
    """A token bucket. `tokens` is what was left at `refilled_at` (real time); `version` counts the takings.

    Rate and size are settings, not columns, so that changing them needs no row to be written.
    """

    account = models.CharField(max_length=12)
    region = models.CharField(max_length=20)
    operation = models.CharField(max_length=40)
    tokens = models.FloatField()
    refilled_at = models.DateTimeField(default=clock.real_now)
    version = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "region", "operation"], name="call_bucket_unique"),
            models.CheckConstraint(condition=models.Q(tokens__gte=0), name="call_bucket_never_owes"),
        ]
