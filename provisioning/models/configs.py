"""The runtime configs that were published to data planes, one that was refused, and orders to circuit breakers."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from core import clock
from core.models import PublicModel
from tenants.models import Tenant


class PublishedConfig(PublicModel):
    """A version of a tenant's runtime config. The row is committed before DynamoDB is written; it never changes.

    `written_at` is set once DynamoDB holds the version and `current` points at it; a version that a newer one
    overtook has `written_at` empty for ever. A version that somebody rolled back to `restores` an older one's routes;
    `instead_of` is the digest of the routes that it replaces, so that they are not published again until the wish is
    another.
    """

    PREFIX = "cfg"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="published_configs")
    version = models.PositiveIntegerField()
    document = models.JSONField()
    sha256 = models.CharField(max_length=64)
    signature = models.CharField(max_length=64)
    routed_names = ArrayField(models.CharField(max_length=63), default=list)
    written_at = models.DateTimeField(null=True)
    is_current = models.BooleanField(default=False)
    restores = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="restored_by")
    instead_of = models.CharField(max_length=64, blank=True, default="")
    reason = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["tenant_id", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "version"], name="published_config_version_unique"),
            models.UniqueConstraint(
                fields=["tenant"], name="published_config_one_current", condition=Q(is_current=True)
            ),
        ]


class ConfigRefusal(models.Model):
    """Why a tenant's newest routes were not published: `violations` hold code, subject and detail each.

    The row goes when a config passes. What was published before goes on answering meanwhile.
    """

    tenant = models.OneToOneField(Tenant, on_delete=models.PROTECT, related_name="config_refusal")
    violations = models.JSONField()
    what_to_do = models.TextField(blank=True, default="")
    refused_at = models.DateTimeField(default=clock.now)


class BreakerOrder(models.Model):
    """What people told the circuit breaker of one line of one route: to stay open, or (`resets`) to close again."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="breaker_orders")
    route = models.CharField(max_length=63)
    line = models.CharField(max_length=30)
    is_tripped = models.BooleanField(default=False)
    resets = models.PositiveIntegerField(default=0)
    reason = models.TextField(blank=True)
    ordered_by = models.CharField(max_length=200)
    ordered_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "route", "line"], name="breaker_order_one_per_line_of_a_route"),
        ]
