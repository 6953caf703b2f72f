"""Releases in steps: the plan in a release's body, its progress in the answer, and how it goes on."""

from decimal import Decimal
from typing import Any

from rest_framework import serializers

from api.bodies import Body, Flag
from api.tenants import OptionalReasonIn
from models_registry.canary import LONGEST_BAKE_MINUTES, MOST_REQUESTS, MOST_STEPS, Plan

DEFAULTS = Plan(steps=())


class PlanIn(Body):
    """The shares of the requests that a version gets before it gets everything, and what rolls it back."""

    steps = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=99),
        min_length=1,
        max_length=MOST_STEPS,
        help_text="Rising shares in per cent, such as [10, 50]; everything follows after the last one.",
    )
    bake_minutes = serializers.IntegerField(
        min_value=1,
        max_value=LONGEST_BAKE_MINUTES,
        default=DEFAULTS.bake_minutes,
        help_text="How long each share lasts.",
    )
    max_error_share = serializers.DecimalField(
        max_digits=5,
        decimal_places=4,
        min_value=Decimal(0),
        max_value=Decimal("0.9999"),
        default=DEFAULTS.max_error_share,
        help_text="Above it, and above the old version's, it is rolled back; 0.05 is five per cent.",
    )
    max_latency_ratio = serializers.DecimalField(
        max_digits=6,
        decimal_places=3,
        min_value=Decimal(1),
        max_value=Decimal(100),
        default=DEFAULTS.max_latency_ratio,
        help_text="It is rolled back when nine of ten answers take so many times as long as the old version's.",
    )
    min_requests = serializers.IntegerField(
        min_value=1,
        max_value=MOST_REQUESTS,
        default=DEFAULTS.min_requests,
        help_text="Below so many requests to each version nothing is concluded, and the share lasts on.",
    )


class ReleaseIn(OptionalReasonIn):
    """Why somebody releases it, and in which steps."""

    plan = PlanIn(required=False, allow_null=True, default=None, help_text="Absent: all requests at once.")


class GoOnIn(OptionalReasonIn):
    """How to go on."""

    skip_bake = Flag(default=False, help_text="Take the next share now, whatever was seen of this one.")


class CanaryOut(serializers.Serializer[Any]):
    """A release in steps: its plan, and how far it has come."""

    steps = serializers.ListField(child=serializers.IntegerField())
    bake_minutes = serializers.IntegerField()
    max_error_share = serializers.DecimalField(max_digits=5, decimal_places=4)
    max_latency_ratio = serializers.DecimalField(max_digits=6, decimal_places=3)
    min_requests = serializers.IntegerField()
    percent = serializers.IntegerField(help_text="The share that it should have now, while the release is pending.")
    since = serializers.DateTimeField(
        source="step_since", allow_null=True, help_text="Since when data planes give it this share; null until they do."
    )
    paused_at = serializers.DateTimeField(allow_null=True)
    paused_by = serializers.CharField(allow_blank=True)
    seen = serializers.JSONField(help_text="What the last look found: both versions' requests, errors and latency.")
    looked_at = serializers.DateTimeField(allow_null=True)


class SharedOut(serializers.Serializer[Any]):
    """Which version had a share of the requests beside the one that was live."""

    version = serializers.CharField(source="version.public_id")
    number = serializers.IntegerField(source="version.number")
    release = serializers.CharField(source="release.public_id")
    percent = serializers.IntegerField()
    served_from = serializers.DateTimeField(source="during.lower")
    served_until = serializers.DateTimeField(source="during.upper", allow_null=True, help_text="Null: it still has it.")


def plan_of(body: dict[str, Any]) -> Plan | None:
    """The plan of a request body that was checked."""
    told = body["plan"]
    return None if told is None else Plan(**{**told, "steps": tuple(told["steps"])})
