"""/operations, /resources and runtime configs: how what was asked for becomes real."""

from typing import Any, cast

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import PageQuery, Query, ReasonIn
from api.endpoint import ApiView, endpoint
from api.fields import actions_open_to
from api.idempotency import KeyRule
from core import clock
from core.errors import NotFound
from provisioning import queries
from provisioning.runtime_config import difference
from provisioning.services.operation_control import (
    cancel_operation,
    continue_operation,
    hold_operation,
    retry_operation,
)
from provisioning.services.switching import why_not_switchable
from provisioning.states import OperationState, Phase
from provisioning.typical import Typical, diagnosis, elapsed_seconds, typical_times
from tenants.queries import get_tenant


class StepResourceOut(serializers.Serializer[Any]):
    """The AWS object that a step waits for."""

    id = serializers.CharField(source="public_id")
    kind = serializers.CharField()
    name = serializers.CharField()
    phase = serializers.ChoiceField(choices=Phase.choices)
    stuck_reason = serializers.CharField(allow_blank=True)
    detail = serializers.CharField(allow_blank=True)
    what_to_do = serializers.CharField(allow_blank=True)
    aws_request_id = serializers.CharField(source="last_request_id", allow_blank=True)


class StepOut(serializers.Serializer[Any]):
    """One step of an operation."""

    title = serializers.CharField()
    state = serializers.ChoiceField(choices=["waiting", "running", "stuck", "done"])
    attempts = serializers.IntegerField(help_text="How often it was tried so far.")
    elapsed_seconds = serializers.SerializerMethodField(help_text="How long it took or takes; null: not begun.")
    began_at = serializers.DateTimeField(allow_null=True, help_text="Null: not yet, or nobody saw it begin.")
    done_at = serializers.DateTimeField(allow_null=True)
    typical_seconds = serializers.SerializerMethodField(help_text="Median of the last 50 of its kind; null: none yet.")
    diagnosis = serializers.SerializerMethodField(help_text="What to think of a step that takes far longer than usual.")
    resource = StepResourceOut(allow_null=True)

    def get_elapsed_seconds(self, step: Any) -> float | None:
        """Until it was done, or until now."""
        return elapsed_seconds(step, clock.now())

    def get_typical_seconds(self, step: Any) -> float | None:
        """What such a step usually takes."""
        typical = self._typical(step)
        return typical.p50_seconds if typical else None

    def get_diagnosis(self, step: Any) -> str:
        """Empty for a step that is done or takes no longer than usual."""
        is_over = step.operation.finished_at is not None
        return "" if is_over else diagnosis(step, self._typical(step), clock.now())

    def _typical(self, step: Any) -> Typical | None:
        """Read once for all steps of a reply."""
        shared = cast(dict[str, Any], self.context)
        if "typical" not in shared:
            shared["typical"] = typical_times()
        return cast(dict[str, Typical], shared["typical"]).get(step.kind)


class OperationOut(serializers.Serializer[Any]):
    """Something that takes a while, with its steps as they are now."""

    id = serializers.CharField(source="public_id")
    tenant = serializers.CharField(source="tenant.public_id")
    release = serializers.CharField(source="release.public_id", default=None, allow_null=True)
    kind = serializers.CharField()
    title = serializers.CharField()
    started_by = serializers.CharField(allow_blank=True)
    state = serializers.ChoiceField(choices=OperationState.choices)
    held_at = serializers.DateTimeField(
        allow_null=True, help_text="Since when it waits for somebody; null: it does not."
    )
    held_by = serializers.CharField(allow_blank=True)
    hold_reason = serializers.CharField(allow_blank=True)
    detail = serializers.CharField(allow_blank=True, help_text="Why it failed or waits.")
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    steps = serializers.SerializerMethodField()
    available_actions = serializers.SerializerMethodField()

    @extend_schema_field(StepOut(many=True))
    def get_steps(self, operation: Any) -> list[Any]:
        """Its steps in order."""
        return list(StepOut(operation.steps.all(), many=True, context=self.context).data)

    def get_available_actions(self, operation: Any) -> list[str]:
        """What the caller may do with it now."""
        possible = {
            "retry": operation.is_retryable,
            "switch": not why_not_switchable(operation),
            "cancel": not operation.why_not_cancellable,
            "hold": operation.is_holdable,
            "continue": operation.is_held,
        }
        return actions_open_to(self.context["principal"], dict.fromkeys(possible, "operations.retry"), possible)


class ResourceOut(serializers.Serializer[Any]):
    """Something that exists in AWS, or is to."""

    id = serializers.CharField(source="public_id")
    tenant = serializers.CharField(source="tenant.public_id", default=None, allow_null=True, help_text="Null: shared.")
    kind = serializers.CharField()
    name = serializers.CharField(help_text="Its name in AWS.")
    arn = serializers.CharField(allow_blank=True)
    region = serializers.CharField()
    line = serializers.CharField(source="line.name", default=None, allow_null=True)
    phase = serializers.ChoiceField(choices=Phase.choices)
    is_wanted = serializers.BooleanField()
    aws_status = serializers.CharField(allow_blank=True)
    stuck_reason = serializers.CharField(allow_blank=True)
    detail = serializers.CharField(allow_blank=True)
    what_to_do = serializers.CharField(allow_blank=True)
    creating_sightings = serializers.IntegerField(help_text="How many passes of the reconciler saw it Creating.")
    last_operation = serializers.CharField(allow_blank=True)
    aws_request_id = serializers.CharField(source="last_request_id", allow_blank=True)
    created_at = serializers.DateTimeField()
    ready_at = serializers.DateTimeField(allow_null=True)
    gone_at = serializers.DateTimeField(allow_null=True)


class ConfigOut(serializers.Serializer[Any]):
    """A version of a tenant's runtime config."""

    id = serializers.CharField(source="public_id")
    version = serializers.IntegerField()
    is_current = serializers.BooleanField(help_text="Whether data planes follow it.")
    sha256 = serializers.CharField()
    created_at = serializers.DateTimeField()
    written_at = serializers.DateTimeField(allow_null=True, help_text="Null until the config table holds it.")
    document = serializers.JSONField()


class ChangeOut(serializers.Serializer[Any]):
    """One value that differs."""

    path = serializers.CharField()
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class DifferenceOut(serializers.Serializer[Any]):
    """What changed between two versions."""

    before = serializers.IntegerField()
    after = serializers.IntegerField()
    changes = ChangeOut(many=True)


class OperationQuery(PageQuery):
    """Filters of the list."""

    tenant = serializers.CharField(required=False, max_length=110, help_text="A tenant's id, slug or `ext:…`.")
    state = serializers.ChoiceField(choices=OperationState.choices, required=False)
    kind = serializers.CharField(required=False, max_length=20)


class ResourceQuery(PageQuery):
    """Filters of the list."""

    tenant = serializers.CharField(required=False, max_length=110, help_text="A tenant's id, slug or `ext:…`.")
    include_gone = serializers.BooleanField(default=False, help_text="Also what was deleted.")


class DifferenceQuery(Query):
    """The two versions to compare."""

    before = serializers.IntegerField(min_value=1, max_value=2**31 - 1)
    after = serializers.IntegerField(min_value=1, max_value=2**31 - 1)


class ScopedView(ApiView):
    """Lists that can be narrowed to one tenant."""

    def narrowed(self) -> Any:
        """The tenants that the caller sees, or the one that `tenant` names. Raises NotFound."""
        ref = self.query.get("tenant")
        return {get_tenant(ref, tenant_ids=self.visible_tenants).pk} if ref else self.visible_tenants


class OperationList(ScopedView):
    """All operations."""

    @endpoint("list_operations", scope="operations.view", query=OperationQuery, reply=OperationOut, many=True)
    def get(self, request: Request) -> Response:
        """List operations with their steps, newest first."""
        found = queries.operations(self.narrowed(), state=self.query.get("state"), kind=self.query.get("kind"))
        return self.page(found, OperationOut)


class OperationDetail(ApiView):
    """One operation."""

    @endpoint("get_operation", scope="operations.view", reply=OperationOut)
    def get(self, request: Request, operation: str) -> Response:
        """Read an operation, with its steps as they are now."""
        return self.reply(OperationOut, queries.operation(operation, tenant_ids=self.visible_tenants))


class OperationRetry(ApiView):
    """Trying again what failed."""

    @endpoint(
        "retry_operation",
        scope="operations.retry",
        reply=OperationOut,
        status=202,
        idempotency=KeyRule.REQUIRED,
    )
    def post(self, request: Request, operation: str) -> Response:
        """Retry an operation: look again now, and send again what failed."""
        found = queries.operation(operation, tenant_ids=self.visible_tenants)
        retry_operation(operation_id=found.pk, actor=self.actor)
        again = queries.operation(found.public_id, tenant_ids=self.visible_tenants)
        return self.reply(OperationOut, again, status=202, location=f"/api/v1/operations/{again.public_id}")


class OperationView(ApiView):
    """What can be done to one operation."""

    def find(self, ref: str) -> Any:
        """The operation as the caller sees it. Raises NotFound."""
        return queries.operation(ref, tenant_ids=self.visible_tenants)

    def followed(self, public_id: str) -> Response:
        """The operation after it."""
        return self.reply(OperationOut, self.find(public_id), status=202)


class OperationCancellation(OperationView):
    """Undoing it."""

    @endpoint(
        "cancel_operation",
        scope="operations.retry",
        body=ReasonIn,
        reply=OperationOut,
        status=202,
        request_example={"reason": "It was the wrong tenant."},
    )
    def post(self, request: Request, operation: str) -> Response:
        """Cancel an operation and undo what it has done.

        A tier change goes back, a release to what is live, a suspension is resumed, an onboarding becomes a departure.
        """
        found = self.find(operation)
        cancel_operation(operation_id=found.pk, reason=self.body["reason"], actor=self.actor)
        return self.followed(found.public_id)


class OperationHold(OperationView):
    """Letting it wait."""

    @endpoint(
        "hold_operation",
        scope="operations.retry",
        body=ReasonIn,
        reply=OperationOut,
        status=202,
        request_example={"reason": "Until the quota is raised."},
    )
    def post(self, request: Request, operation: str) -> Response:
        """Hold an operation: nothing more is begun for its tenant, and what AWS was asked for already ends."""
        found = self.find(operation)
        hold_operation(operation_id=found.pk, reason=self.body["reason"], actor=self.actor)
        return self.followed(found.public_id)


class OperationContinuation(OperationView):
    """Letting it go on."""

    @endpoint("continue_operation", scope="operations.retry", reply=OperationOut, status=202)
    def post(self, request: Request, operation: str) -> Response:
        """Continue an operation that is on hold."""
        found = self.find(operation)
        continue_operation(operation_id=found.pk, actor=self.actor)
        return self.followed(found.public_id)


class ResourceList(ScopedView):
    """All resources."""

    @endpoint("list_resources", scope="operations.view", query=ResourceQuery, reply=ResourceOut, many=True)
    def get(self, request: Request) -> Response:
        """List what exists in AWS or is to, newest first."""
        found = queries.resources_of(self.narrowed(), include_gone=self.query["include_gone"])
        return self.page(found, ResourceOut)


class ResourceDetail(ApiView):
    """One resource."""

    @endpoint("get_resource", scope="operations.view", reply=ResourceOut)
    def get(self, request: Request, resource: str) -> Response:
        """Read a resource by its id or its name in AWS."""
        return self.reply(ResourceOut, queries.get_resource(resource, tenant_ids=self.visible_tenants))


class ConfigView(ApiView):
    """What every operation on a tenant's runtime configs does."""

    def configs(self, tenant: str) -> Any:
        """The versions of this tenant, newest first. Raises NotFound."""
        return queries.published_configs(get_tenant(tenant, tenant_ids=self.visible_tenants).pk)

    def version(self, tenant: str, number: int) -> Any:
        """One version. Raises NotFound."""
        found = self.configs(tenant).filter(version=number).first()
        if found is None:
            raise NotFound(f"There is no version {number} of this runtime config.")
        return found


class ConfigList(ConfigView):
    """The versions of a tenant's runtime config."""

    @endpoint("list_runtime_configs", scope="operations.view", query=PageQuery, reply=ConfigOut, many=True)
    def get(self, request: Request, tenant: str) -> Response:
        """List the versions of a tenant's runtime config, newest first."""
        return self.page(self.configs(tenant), ConfigOut, order="-version")


class ConfigDifference(ConfigView):
    """What changed between two versions."""

    @endpoint("compare_runtime_configs", scope="operations.view", query=DifferenceQuery, reply=DifferenceOut)
    def get(self, request: Request, tenant: str) -> Response:
        """Compare two versions of a tenant's runtime config."""
        before, after = (self.version(tenant, self.query[name]) for name in ("before", "after"))
        changes = difference(before.document, after.document)
        return self.reply(DifferenceOut, {"before": before.version, "after": after.version, "changes": changes})
