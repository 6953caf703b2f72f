"""People who operate the control plane, keys that programs use, and links that open the door once."""

from typing import ClassVar

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from accounts.roles import Role
from core.models import PublicModel

SHA256_HEX = r"^[0-9a-f]{64}$"


class User(AbstractUser, PublicModel):
    """A person of the operating team. `role` decides what they may do; see accounts.roles."""

    PREFIX: ClassVar[str] = "usr"

    role = models.CharField(max_length=20, choices=Role.choices, default=Role.VIEWER)

    class Meta:
        constraints = [
            models.CheckConstraint(name="user_role_known", condition=Q(role__in=Role.values)),
        ]


class ApiKey(PublicModel):
    """A program's way in. The secret is shown once; what stays here is its HMAC, which cannot be turned back.

    `tenant` is the only tenant that the key can see; without one it belongs to the operating team and sees all.
    """

    PREFIX: ClassVar[str] = "key"

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, null=True, related_name="+")
    name = models.CharField(max_length=100)
    lookup = models.CharField(max_length=12, unique=True)
    secret_hash = models.CharField(max_length=64)
    hint = models.CharField(max_length=40)
    scopes = ArrayField(models.CharField(max_length=40))
    created_by = models.CharField(max_length=40)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    revoked_reason = models.CharField(max_length=500, default="")
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "API key"
        indexes = [models.Index(fields=["tenant", "-id"], name="api_key_by_tenant")]
        constraints = [
            # A plaintext secret is 43 letters long: this column refuses it, whatever a later change does.
            models.CheckConstraint(name="api_key_holds_a_hash", condition=Q(secret_hash__regex=SHA256_HEX)),
            models.CheckConstraint(name="api_key_has_scopes", condition=Q(scopes__len__gt=0)),
            models.CheckConstraint(name="api_key_expires_later", condition=Q(expires_at__gt=F("created_at"))),
        ]


class LoginLink(models.Model):
    """A link that signs one person in, once, for a few minutes. Its times are real ones, not the business clock's."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    token_hash = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(name="login_link_holds_a_hash", condition=Q(token_hash__regex=SHA256_HEX)),
        ]
