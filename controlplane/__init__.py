"""The shell: settings, URLs, Celery, and the one table that says who reacts to what."""

from controlplane.celery import app as celery_app

__all__ = ["celery_app"]
