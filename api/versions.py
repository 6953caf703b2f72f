"""/adapter-versions: approving, archiving, retiring, comparing; and imports."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.adapters import AdapterOut, AdapterVersionOut, VersionRefOut
from api.bodies import Body, Query, Text
from api.endpoint import ApiView, endpoint
from api.tenants import OptionalReasonIn, ReasonIn
from core.errors import NotFound
from models_registry import queries
from models_registry.services import adapters, retirement
from models_registry.services.approvals import decide_approval
from models_registry.services.comparing import compare_versions
from models_registry.services.imports import import_version
from models_registry.states import OutsideApprovals


class RetirementIn(Body):
    """When a version should stop serving, and what should serve instead."""

    retires_at = serializers.DateTimeField(help_text="RFC 3339. Nothing is taken away then; new releases are refused.")
    replacement = Text(max_length=40, allow_null=True, default=None, help_text="Another ready version of the adapter.")
    reason = Text(max_length=500, allow_blank=True, default="")


class ApprovalPolicyIn(Body):
    """What an approval given in SageMaker's model registry is worth."""

    outside_approvals = serializers.ChoiceField(choices=OutsideApprovals.choices)
    reason = Text(max_length=500)


class ImportIn(Body):
    """Where the version lies, and words about it."""

    uri = Text(
        max_length=1024, help_text="s3://bucket/key.tar.gz, or s3://bucket/prefix/ with the adapter's two files."
    )
    notes = Text(max_length=4000, allow_blank=True, default="")
    metrics = serializers.JSONField(default=dict, help_text="An object, up to 8 KiB.")
    dataset_ref = Text(max_length=200, allow_blank=True, default="")
    base_revision = Text(max_length=100, allow_blank=True, default="")
    training_job = Text(max_length=300, allow_blank=True, default="")

    def validate_metrics(self, metrics: Any) -> Any:
        """Raises ValidationError for anything but an object."""
        if not isinstance(metrics, dict):
            raise serializers.ValidationError("Metrics are a JSON object.", code="wrong_type")
        return metrics


class CompareQuery(Query):
    """What to compare with."""

    before = serializers.CharField(
        required=False,
        max_length=40,
        help_text="Another version of the adapter; by default the live one, else the one numbered before.",
    )


class VersionChangeOut(serializers.Serializer[Any]):
    """A value before and after; null where there is none."""

    name = serializers.CharField()
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class MetricChangeOut(serializers.Serializer[Any]):
    """A metric before and after, and whether that is better."""

    name = serializers.CharField()
    before = serializers.FloatField(allow_null=True)
    after = serializers.FloatField(allow_null=True)
    direction = serializers.ChoiceField(choices=["higher", "lower", "unknown"], help_text="Which is better.")
    verdict = serializers.ChoiceField(choices=["better", "worse", "same", "changed", "added", "removed"])


class TensorChangesOut(serializers.Serializer[Any]):
    """Tensors that only one version has, and those of another dtype or shape; lists are cut, counts are not."""

    added = serializers.ListField(child=serializers.CharField())
    removed = serializers.ListField(child=serializers.CharField())
    changed = VersionChangeOut(many=True)
    added_count = serializers.IntegerField()
    removed_count = serializers.IntegerField()
    changed_count = serializers.IntegerField()
    same_count = serializers.IntegerField(help_text="Zero when the contents are the same: nothing was read then.")


class VersionComparisonOut(serializers.Serializer[Any]):
    """What changed from one version to another."""

    before = VersionRefOut()
    after = VersionRefOut()
    is_same_content = serializers.BooleanField()
    problem = serializers.CharField(
        allow_blank=True, help_text="Why settings and tensors could not be read; they are empty then."
    )
    config = VersionChangeOut(many=True)
    tensors = TensorChangesOut()
    metrics = MetricChangeOut(many=True)
    provenance = VersionChangeOut(many=True)
    size_change = serializers.IntegerField(help_text="Bytes that the later artifact is larger.")


class VersionChange(ApiView):
    """What every change of a version answers with."""

    def changed(self, version: Any) -> Response:
        """The version as it is now."""
        return self.reply(AdapterVersionOut, queries.get_version(version.public_id, tenant_ids=self.visible_tenants))


class VersionApproval(VersionChange):
    """Approving a version."""

    @endpoint(
        "approve_version",
        scope="adapters.approve",
        body=ReasonIn,
        reply=AdapterVersionOut,
        request_example={"reason": "Evaluation of 2026-11-19 read; no regression."},
    )
    def post(self, request: Request, adapter_version: str) -> Response:
        """Approve a version, so that it may be released."""
        version = queries.get_version(adapter_version, tenant_ids=self.visible_tenants)
        reason = self.body["reason"]
        return self.changed(decide_approval(version_id=version.pk, is_approved=True, reason=reason, actor=self.actor))


class VersionRejection(VersionChange):
    """Saying that a version may not be released."""

    @endpoint(
        "reject_version",
        scope="adapters.approve",
        body=ReasonIn,
        reply=AdapterVersionOut,
        request_example={"reason": "Refuses every third question."},
    )
    def post(self, request: Request, adapter_version: str) -> Response:
        """Say that a version may not be released; what serves goes on."""
        version = queries.get_version(adapter_version, tenant_ids=self.visible_tenants)
        reason = self.body["reason"]
        return self.changed(decide_approval(version_id=version.pk, is_approved=False, reason=reason, actor=self.actor))


class VersionArchival(VersionChange):
    """Putting a version out of use."""

    @endpoint("archive_version", scope="adapters.release", body=OptionalReasonIn, reply=AdapterVersionOut)
    def post(self, request: Request, adapter_version: str) -> Response:
        """Archive a version; refused while it is live or about to be."""
        version = queries.get_version(adapter_version, tenant_ids=self.visible_tenants)
        done = adapters.archive_version(version_id=version.pk, reason=self.body["reason"], actor=self.actor)
        return self.changed(done)


class VersionRestoration(VersionChange):
    """Taking an archived version back into use."""

    @endpoint("restore_version", scope="adapters.release", body=OptionalReasonIn, reply=AdapterVersionOut)
    def post(self, request: Request, adapter_version: str) -> Response:
        """Restore an archived version, so that it can be released again."""
        version = queries.get_version(adapter_version, tenant_ids=self.visible_tenants)
        done = adapters.restore_version(version_id=version.pk, reason=self.body["reason"], actor=self.actor)
        return self.changed(done)


class VersionRetirement(VersionChange):
    """The day from which a version should not serve."""

    @endpoint(
        "schedule_retirement",
        scope="adapters.release",
        body=RetirementIn,
        reply=AdapterVersionOut,
        request_example={"retires_at": "2027-06-30T00:00:00Z", "reason": "The base model is retired."},
    )
    def put(self, request: Request, adapter_version: str) -> Response:
        """Plan a version's retirement. It is told two weeks ahead and on the day; traffic is never cut off."""
        version = queries.get_version(adapter_version, tenant_ids=self.visible_tenants)
        ref = self.body["replacement"]
        replacement = sibling(version, ref, self.visible_tenants) if ref else None
        planned = retirement.schedule_retirement(
            version_id=version.pk,
            retires_at=self.body["retires_at"],
            replacement_id=replacement.pk if replacement else None,
            reason=self.body["reason"],
            actor=self.actor,
        )
        return self.changed(planned)

    @endpoint("cancel_retirement", scope="adapters.release", reply=AdapterVersionOut)
    def delete(self, request: Request, adapter_version: str) -> Response:
        """Take a planned retirement back."""
        version = queries.get_version(adapter_version, tenant_ids=self.visible_tenants)
        return self.changed(retirement.cancel_retirement(version_id=version.pk, reason="", actor=self.actor))


class VersionComparison(ApiView):
    """What differs between two versions."""

    @endpoint("compare_versions", scope="adapters.view", query=CompareQuery, reply=VersionComparisonOut)
    def get(self, request: Request, adapter_version: str) -> Response:
        """Compare a version with another one of its adapter: settings, tensors, metrics, provenance, size."""
        after = queries.get_version(adapter_version, tenant_ids=self.visible_tenants)
        ref = self.query.get("before")
        before = sibling(after, ref, self.visible_tenants) if ref else queries.compared_by_default(after)
        return self.reply(VersionComparisonOut, compare_versions(before=before, after=after))


class AdapterImport(ApiView):
    """Importing a version."""

    @endpoint(
        "import_adapter_version",
        scope="adapters.upload",
        body=ImportIn,
        reply=AdapterVersionOut,
        status=202,
        request_example={"uri": "s3://training-results/acme/run-7/", "training_job": "run-7"},
    )
    def post(self, request: Request, adapter: str) -> Response:
        """Import a version that was trained elsewhere from S3; it passes the same gate as an upload."""
        found = queries.find_adapter(adapter, tenant_ids=self.visible_tenants)
        words = {name: value for name, value in self.body.items() if name != "uri"}
        made = import_version(
            adapter_id=found.pk,
            uri=self.body["uri"],
            words=words,
            is_of_tenant=self.visible_tenants is not None,
            actor=self.actor,
        )
        location = f"/api/v1/adapter-versions/{made.public_id}"
        return self.reply(AdapterVersionOut, made, status=202, location=location)


class AdapterApprovalPolicy(ApiView):
    """What decisions in SageMaker's registry are worth for an adapter."""

    @endpoint(
        "set_approval_policy",
        scope="adapters.approve",
        body=ApprovalPolicyIn,
        reply=AdapterOut,
        request_example={"outside_approvals": "accept", "reason": "Our pipeline approves what passes its tests."},
    )
    def put(self, request: Request, adapter: str) -> Response:
        """Say whether approvals given in SageMaker's model registry are undone, taken over, or release as well."""
        found = queries.get_adapter(adapter, tenant_ids=self.visible_tenants)
        adapters.set_outside_approvals(
            adapter_id=found.pk,
            policy=self.body["outside_approvals"],
            reason=self.body["reason"],
            actor=self.actor,
        )
        return self.reply(AdapterOut, queries.get_adapter(adapter, tenant_ids=self.visible_tenants))


def sibling(version: Any, ref: str, tenant_ids: Any) -> Any:
    """Another version of the same adapter. Raises NotFound for any other."""
    other = queries.get_version(ref, tenant_ids=tenant_ids)
    if other.adapter_id != version.adapter_id:
        raise NotFound(f"{version.adapter.name} has no version {ref}.")
    return other
