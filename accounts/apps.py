"""Registers the room with Django."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Accounts: users, API keys, one-time login links."""

    default_auto_field = "django.db.models.BigAutoField"
    name = "accounts"
