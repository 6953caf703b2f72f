"""Event, append-only by trigger, and the outbox row that says it still has to be told."""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models

from core.models import PublicModel


class Event(PublicModel):
    """Something that happened, in the words of `catalog.py`.

    It stands below the rooms it tells about, so tenant and subject are kept as ids without a foreign key: the pk for
    reactions, the public id for people. `data` is what a webhook will carry, frozen by whoever recorded it.
    """

    PREFIX = "evt"

    name = models.CharField(max_length=60)
    tenant_pk = models.BigIntegerField(null=True)
    tenant_ref = models.CharField(max_length=40, blank=True)
    subject_type = models.CharField(max_length=60)
    subject_pk = models.BigIntegerField()
    subject_ref = models.CharField(max_length=40)
    actor_kind = models.CharField(max_length=10)
    actor_ref = models.CharField(max_length=200)
    actor_name = models.CharField(max_length=200)
    request_id = models.CharField(max_length=64, blank=True)
    reason = models.TextField(blank=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    data = models.JSONField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["tenant_pk", "-id"], name="event_by_tenant"),
            models.Index(fields=["subject_ref", "-id"], name="event_by_subject"),
            models.Index(fields=["name", "-id"], name="event_by_name"),
            models.Index(fields=["request_id"], name="event_by_request", condition=~models.Q(request_id="")),
            BrinIndex(fields=["created_at"], name="event_by_time"),
        ]


class Outbox(models.Model):
    """An event that has not been told to its reactions yet; the row is deleted once the bells have rung."""

    event = models.OneToOneField(Event, on_delete=models.PROTECT, primary_key=True)
