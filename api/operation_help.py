"""/operations/…/log, /alternatives and /switch: what happened to an operation, and what it could use instead."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import ReasonIn, Text
from api.endpoint import ApiView, endpoint
from api.operations import OperationOut
from billing.services.tier_changes import switch_operation
from provisioning import queries
from provisioning.operation_log import CALL, EVENT, STEP, log_of
from provisioning.services.switching import alternatives, why_not_switchable
from tenants.queries import get_tier_version

LARGEST = 2**31 - 1


class LogEntryOut(serializers.Serializer[Any]):
    """One line of an operation's log."""

    at = serializers.DateTimeField(help_text="Of a call that was repeated: the last time.")
    kind = serializers.ChoiceField(choices=[STEP, CALL, EVENT])
    about = serializers.CharField(help_text="The step, the resource in AWS, or the operation.")
    what = serializers.CharField(help_text="`begun` or `done`, the call, or the event's name.")
    said = serializers.CharField(allow_blank=True, help_text="What AWS answered, empty when it took the call; or why.")
    who = serializers.CharField(allow_blank=True)
    request_id = serializers.CharField(allow_blank=True, help_text="AWS's of a call, ours of an event.")
    times = serializers.IntegerField(help_text="How often the same call got the same answer.")
    first_at = serializers.DateTimeField(allow_null=True, help_text="Of a call: the first time.")


class OperationLogOut(serializers.Serializer[Any]):
    """The newest 200 lines, newest first."""

    entries = LogEntryOut(many=True)
    is_cut = serializers.BooleanField(help_text="There are more.")


class AlternativeLineOut(serializers.Serializer[Any]):
    """A serving line of it."""

    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=["hosted", "api"])
    model = serializers.CharField(source="model_name")
    region = serializers.CharField()
    instance_type = serializers.CharField(allow_blank=True)
    endpoint_scope = serializers.CharField(help_text="`shared`: a pool.")


class AlternativeOut(serializers.Serializer[Any]):
    """A tier version that an operation could go on with."""

    tier = serializers.CharField(source="version.tier.key")
    version = serializers.IntegerField(source="version.number")
    is_same_tier = serializers.BooleanField(help_text="Another version of the tier that it is on now.")
    lines = AlternativeLineOut(many=True)


class AlternativesOut(serializers.Serializer[Any]):
    """At most five, other versions of the same tier first."""

    alternatives = AlternativeOut(many=True)
    why_not = serializers.CharField(allow_blank=True, help_text="Why the operation cannot be switched.")


class SwitchIn(ReasonIn):
    """The tier version to go on with, and why."""

    tier = Text(max_length=30, help_text="A tier's key.")
    version = serializers.IntegerField(
        required=False, min_value=1, max_value=2**31 - 1, help_text="Default: the newest."
    )


class OperationLogView(ApiView):
    """What happened."""

    @endpoint("get_operation_log", scope="operations.view", reply=OperationLogOut)
    def get(self, request: Request, operation: str) -> Response:
        """Read an operation's log: its steps, the calls to AWS for them with AWS's answers, and its events."""
        return self.reply(OperationLogOut, log_of(queries.operation(operation, tenant_ids=self.visible_tenants)))


class OperationAlternatives(ApiView):
    """What could be used instead."""

    @endpoint("get_operation_alternatives", scope="operations.view", reply=AlternativesOut)
    def get(self, request: Request, operation: str) -> Response:
        """Read what an operation could be switched to: tier versions with other lines, which would run on paper."""
        found = queries.operation(operation, tenant_ids=self.visible_tenants)
        said = {"alternatives": alternatives(found), "why_not": why_not_switchable(found)}
        return self.reply(AlternativesOut, said)


class OperationSwitch(ApiView):
    """Going on with something else."""

    @endpoint(
        "switch_operation",
        scope="tenants.manage",
        body=SwitchIn,
        reply=OperationOut,
        status=202,
        request_example={"tier": "basic", "reason": "No capacity for the larger instances this week."},
    )
    def post(self, request: Request, operation: str) -> Response:
        """Switch an operation to another tier version's lines (instance type, region, pool) and retry.

        For an onboarding before the tenant is active, and for a tier change that went back, which is begun anew. AWS
        is asked for quotas before anything is changed, and the other version's prices hold from then on.
        """
        found = queries.operation(operation, tenant_ids=self.visible_tenants)
        wanted = get_tier_version(self.body["tier"], self.body.get("version"))
        followed = switch_operation(
            operation_id=found.pk, tier_version_id=wanted.pk, reason=self.body["reason"], actor=self.actor
        )
        again = queries.operation(followed.public_id, tenant_ids=self.visible_tenants)
        return self.reply(OperationOut, again, status=202, location=f"/api/v1/operations/{again.public_id}")
