"""The runtime configs that were published to data planes."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from core.models import PublicModel
from tenants.models import Tenant


class PublishedConfig(PublicModel):
    """A version of a tenant's runtime config. The row is committed before DynamoDB is written; it never changes.

    `written_at` is set once DynamoDB holds the version and `current` points at it; a version that a newer one
    overtook has `written_at` empty for ever.
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

    class Meta:
        ordering = ["tenant_id", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "version"], name="published_config_version_unique"),
            models.UniqueConstraint(
                fields=["tenant"], name="published_config_one_current", condition=Q(is_current=True)
            ),
        ]
