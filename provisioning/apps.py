"""Registers the room with Django."""

from django.apps import AppConfig


class ProvisioningConfig(AppConfig):
    """Serving lines, managed resources, runtime configs, operations."""

    default_auto_field = "django.db.models.BigAutoField"
    name = "provisioning"
