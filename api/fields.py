"""Pieces of replies that several operations share."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from accounts.access import Principal


class ActorOut(serializers.Serializer[Any]):
    """Who did something."""

    kind = serializers.ChoiceField(choices=["person", "api_key", "system"])
    ref = serializers.CharField()
    name = serializers.CharField()


def actions_open_to(principal: Principal, actions: Mapping[str, str], possible: Mapping[str, bool]) -> list[str]:
    """The actions that the state allows and the caller holds the permission for; `actions` maps each to its scope."""
    return [name for name, scope in actions.items() if possible[name] and scope in principal.permissions]
