"""The one table of the API: replies kept so that a repeated request is answered and not done again."""

from django.db import models
from django.db.models import Q


class IdempotentRequest(models.Model):
    """A request that carried an Idempotency-Key: in flight while `status` is null, answered afterwards.

    `attempt` names the process that works on it; whoever finds the lease over takes the row by writing its own, and
    looks in the audit trail for what the one before did under `request_id`.
    Times are real ones: a pushed business clock must not forget replies or free leases.
    """

    principal = models.CharField(max_length=40)
    method = models.CharField(max_length=10)
    path = models.CharField(max_length=700)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    attempt = models.CharField(max_length=32)
    request_id = models.CharField(max_length=64, default="")
    leased_until = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)
    status = models.PositiveSmallIntegerField(null=True)
    headers = models.JSONField(null=True)
    body = models.TextField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["principal", "method", "path", "key"], name="idempotent_request_unique"),
            models.CheckConstraint(
                name="idempotent_reply_whole",
                condition=Q(status__isnull=True, headers__isnull=True, body__isnull=True)
                | Q(status__isnull=False, headers__isnull=False, body__isnull=False),
            ),
        ]
