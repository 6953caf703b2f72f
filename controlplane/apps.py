"""Hands the reactions to `events` when the process starts."""

from django.apps import AppConfig


class ControlplaneConfig(AppConfig):
    """The shell."""

    name = "controlplane"

    def ready(self) -> None:
        from controlplane import checks  # noqa: F401  (registers the system checks)
        from controlplane.reactions import REACTIONS
        from events.dispatch import set_reactions

        set_reactions(REACTIONS)
