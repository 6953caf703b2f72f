"""Registers the room with Django."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    """The REST API."""

    default_auto_field = "django.db.models.BigAutoField"
    name = "api"

    def ready(self) -> None:
        from api import schema  # noqa: F401  (tells drf-spectacular what our keys look like)
