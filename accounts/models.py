"""People who operate the control plane."""

from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import models

from accounts.roles import Role
from core.ids import new_id


class User(AbstractUser):
    """A person of the operating team. `role` decides what they may do; see accounts.roles."""

    PREFIX = "usr"

    public_id = models.CharField(max_length=40, unique=True, editable=False)
    role = models.CharField(max_length=20, choices=Role.choices, default=Role.VIEWER)

    class Meta:
        constraints = [
            models.CheckConstraint(name="user_role_known", condition=models.Q(role__in=Role.values)),
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save, giving a new person their public id."""
        if not self.public_id:
            self.public_id = new_id(self.PREFIX)
        super().save(*args, **kwargs)
