"""/adapters, /adapter-versions and /foundation-models: what tenants bring."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import Body, PageQuery, Text
from api.endpoint import ApiView, endpoint
from api.registry_rows import (
    ADAPTER_COLUMNS,
    VERSION_COLUMNS,
    adapter_actions,
    adapter_row,
    version_actions,
    version_row,
)
from api.uploads import ARCHIVE_TYPES, MULTIPART, received
from core import clock
from models_registry import queries
from models_registry.services.adapters import create_adapter, describe_adapter
from models_registry.services.uploads import receive_upload
from models_registry.states import Approval, OutsideApprovals, VersionState
from tenants.queries import get_tenant, tier_version_of


class FoundationModelOut(serializers.Serializer[Any]):
    """A base model on offer."""

    id = serializers.CharField(source="public_id")
    name = serializers.CharField()
    revision = serializers.CharField(allow_blank=True)
    family = serializers.CharField()
    layers = serializers.IntegerField()
    hidden_size = serializers.IntegerField()
    context_length = serializers.IntegerField(allow_null=True, help_text="Tokens.")


class NamedOut(serializers.Serializer[Any]):
    """Something referred to by id and name."""

    id = serializers.CharField(source="public_id")
    name = serializers.CharField()


class VersionRefOut(serializers.Serializer[Any]):
    """A version referred to."""

    id = serializers.CharField(source="public_id")
    number = serializers.IntegerField(allow_null=True)


class AdapterOut(serializers.Serializer[Any]):
    """A tenant's line of versions for one base model; its name is the route that the data plane asks for."""

    id = serializers.CharField(source="public_id")
    tenant = serializers.CharField(source="tenant.public_id")
    name = serializers.CharField()
    foundation_model = NamedOut()
    serving_profile = NamedOut()
    latest_version = VersionRefOut(allow_null=True, help_text="The newest that passed the gate.")
    live_version = VersionRefOut(allow_null=True, help_text="The one that answers now.")
    state = serializers.ChoiceField(choices=queries.ADAPTER_STATES)
    version_count = serializers.IntegerField(help_text="How many passed the gate, archived ones too.")
    description = serializers.CharField(allow_blank=True)
    tags = serializers.DictField(child=serializers.CharField())
    outside_approvals = serializers.ChoiceField(
        choices=OutsideApprovals.choices, help_text="What an approval in SageMaker's model registry is worth."
    )
    created_at = serializers.DateTimeField()
    available_actions = serializers.SerializerMethodField()

    def get_available_actions(self, adapter: Any) -> list[str]:
        """What the caller may do with it now."""
        return adapter_actions(self.context["principal"], serves=adapter.live_version_id is not None)


class FindingOut(serializers.Serializer[Any]):
    """One thing that the admission gate saw."""

    code = serializers.CharField()
    severity = serializers.ChoiceField(choices=["error", "warning"])
    message = serializers.CharField()
    hint = serializers.CharField(allow_blank=True)
    tensor = serializers.CharField(allow_null=True)


class PartOut(serializers.Serializer[Any]):
    """One uploaded file."""

    name = serializers.CharField()
    size = serializers.IntegerField(help_text="Bytes.")


class ApprovalOut(serializers.Serializer[Any]):
    """Whether the version may serve, who said so, when and why."""

    state = serializers.ChoiceField(source="approval", choices=Approval.choices)
    policy = serializers.ChoiceField(
        source="approval_policy", choices=["none", "required", "four_eyes"], help_text="The tier's, when it was set."
    )
    by = serializers.CharField(source="approval_by", allow_blank=True)
    at = serializers.DateTimeField(source="approval_at", allow_null=True)
    reason = serializers.CharField(source="approval_reason", allow_blank=True)


class RetirementOut(serializers.Serializer[Any]):
    """The day from which the version should not serve; new releases are refused then, traffic is never cut off."""

    retires_at = serializers.DateTimeField()
    replacement = VersionRefOut(allow_null=True)
    reason = serializers.CharField(source="retirement_reason", allow_blank=True)


class AdapterVersionOut(serializers.Serializer[Any]):
    """One immutable upload; it gets its number when it is accepted."""

    id = serializers.CharField(source="public_id")
    adapter = serializers.CharField(source="adapter.public_id")
    tenant = serializers.CharField(source="tenant.public_id")
    number = serializers.IntegerField(allow_null=True)
    state = serializers.ChoiceField(choices=VersionState.choices)
    waiting_reason = serializers.CharField(allow_blank=True, help_text="Why validation has not ended yet.")
    files = PartOut(source="parts", many=True)
    sha256 = serializers.CharField(allow_blank=True, help_text="Of the canonical artifact.")
    size_bytes = serializers.IntegerField(allow_null=True)
    rank = serializers.IntegerField(allow_null=True)
    alpha = serializers.FloatField(allow_null=True)
    target_modules = serializers.ListField(child=serializers.CharField())
    findings = serializers.SerializerMethodField()
    facts = serializers.JSONField()
    notes = serializers.CharField(allow_blank=True)
    metrics = serializers.JSONField()
    dataset_ref = serializers.CharField(allow_blank=True)
    base_revision = serializers.CharField(allow_blank=True, help_text="Of the base model that it was trained on.")
    training_job = serializers.CharField(allow_blank=True)
    source_uri = serializers.CharField(allow_blank=True, help_text="Where it was imported from, if it was.")
    uploaded_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    decided_at = serializers.DateTimeField(allow_null=True)
    approval = ApprovalOut(source="*")
    retirement = serializers.SerializerMethodField()
    available_actions = serializers.SerializerMethodField()

    @extend_schema_field(FindingOut(many=True))
    def get_findings(self, version: Any) -> Any:
        """What the gate saw, errors and warnings."""
        return version.findings

    @extend_schema_field(RetirementOut(allow_null=True))
    def get_retirement(self, version: Any) -> Any:
        """When it should stop serving; null without a plan."""
        return RetirementOut(version).data if version.retires_at else None

    def get_available_actions(self, version: Any) -> list[str]:
        """What the caller may do with it now."""
        return version_actions(self.context["principal"], state=version.state, approval=version.approval)


class AdapterQuery(PageQuery):
    """Filters of the list."""

    tenant = serializers.CharField(required=False, max_length=110, help_text="A tenant's id, slug or `ext:…`.")
    q = serializers.CharField(required=False, max_length=120, help_text="Part of a name, or an id.")
    foundation_model = serializers.CharField(required=False, max_length=80, help_text="A base model's id or name.")
    state = serializers.ChoiceField(choices=queries.ADAPTER_STATES, required=False)
    has_live = serializers.BooleanField(required=False, allow_null=True, default=None)
    tag = serializers.CharField(required=False, max_length=262, help_text="key:value")


class VersionQuery(PageQuery):
    """Filters of the list."""

    state = serializers.ChoiceField(
        choices=[state for state in VersionState.values if state != VersionState.UPLOADING], required=False
    )
    approval = serializers.ChoiceField(
        choices=Approval.choices, required=False, help_text="Of versions that are ready."
    )
    uploader = serializers.CharField(required=False, max_length=200, help_text="A name, or the id of a person or key.")
    metric = serializers.CharField(required=False, max_length=160, help_text="Such as exact_match>=0.8 or loss<=0.4.")


class AdapterIn(Body):
    """What a new adapter needs."""

    tenant = Text(max_length=110, help_text="A tenant's id, slug or `ext:…`.")
    name = Text(max_length=40, help_text="Small letters, digits and single hyphens; the route that is asked for.")
    foundation_model = Text(max_length=80, help_text="A base model's id or name.")


class AdapterChangeIn(Body):
    """What can be changed of an adapter."""

    description = Text(max_length=2000, allow_blank=True, required=False)
    tags = serializers.DictField(child=Text(max_length=200, allow_blank=True), required=False)


class UploadIn(serializers.Serializer[Any]):
    """The adapter's files, or one archive of them, and words about them."""

    files = serializers.ListField(
        child=serializers.FileField(),
        help_text="adapter_config.json and adapter_model.safetensors, or one .tar.gz; field names do not matter.",
    )
    notes = serializers.CharField(required=False, max_length=4000)
    metrics = serializers.CharField(required=False, help_text="A JSON object, up to 8 KiB.")
    dataset_ref = serializers.CharField(required=False, max_length=200)
    base_revision = serializers.CharField(required=False, max_length=100, help_text="Of the base trained on.")
    training_job = serializers.CharField(required=False, max_length=300, help_text="Its ARN, address or run id.")


class FoundationModelList(ApiView):
    """The base models on offer."""

    @endpoint("list_foundation_models", scope="adapters.view", query=PageQuery, reply=FoundationModelOut, many=True)
    def get(self, request: Request) -> Response:
        """List base models on offer, newest first."""
        return self.page(queries.list_foundation_models(), FoundationModelOut)


class AdapterList(ApiView):
    """All adapters."""

    @endpoint("list_adapters", scope="adapters.view", query=AdapterQuery, reply=AdapterOut, many=True)
    def get(self, request: Request) -> Response:
        """List adapters, newest first."""
        tenant = self.query.get("tenant")
        tenant_id = get_tenant(tenant, tenant_ids=self.visible_tenants).pk if tenant else None
        base = self.query.get("foundation_model")
        return self.rows(
            queries.list_adapters,
            ADAPTER_COLUMNS,
            adapter_row,
            tenant_id=tenant_id,
            base_id=queries.get_foundation_model(base).pk if base else None,
            state=self.query.get("state"),
            has_live=self.query.get("has_live"),
            tag=self.query.get("tag"),
            q=self.query.get("q"),
        )

    @endpoint(
        "create_adapter",
        scope="adapters.upload",
        body=AdapterIn,
        reply=AdapterOut,
        status=201,
        request_example={"tenant": "ext:CRM-42", "name": "support", "foundation_model": "tiny-llama"},
    )
    def post(self, request: Request) -> Response:
        """Open an adapter for a tenant."""
        tenant = get_tenant(self.body["tenant"], tenant_ids=self.visible_tenants)
        model = queries.get_foundation_model(self.body["foundation_model"])
        made = create_adapter(
            tenant_id=tenant.pk, name=self.body["name"], foundation_model_id=model.pk, actor=self.actor
        )
        adapter = queries.get_adapter(made.public_id, tenant_ids=self.visible_tenants)
        return self.reply(AdapterOut, adapter, status=201, location=f"/api/v1/adapters/{adapter.public_id}")


class AdapterDetail(ApiView):
    """One adapter."""

    @endpoint("get_adapter", scope="adapters.view", reply=AdapterOut)
    def get(self, request: Request, adapter: str) -> Response:
        """Read an adapter."""
        return self.reply(AdapterOut, queries.get_adapter(adapter, tenant_ids=self.visible_tenants))

    @endpoint(
        "update_adapter",
        scope="adapters.upload",
        body=AdapterChangeIn,
        reply=AdapterOut,
        request_example={"description": "Answers support questions.", "tags": {"team": "support"}},
    )
    def patch(self, request: Request, adapter: str) -> Response:
        """Change an adapter's description or replace its tags; what is left out stays."""
        found = queries.get_adapter(adapter, tenant_ids=self.visible_tenants)
        describe_adapter(
            adapter_id=found.pk,
            description=self.body.get("description"),
            tags=self.body.get("tags"),
            actor=self.actor,
        )
        return self.reply(AdapterOut, queries.get_adapter(adapter, tenant_ids=self.visible_tenants))


class VersionList(ApiView):
    """The versions of one adapter."""

    @endpoint("list_adapter_versions", scope="adapters.view", query=VersionQuery, reply=AdapterVersionOut, many=True)
    def get(self, request: Request, adapter: str) -> Response:
        """List an adapter's versions, newest first, refused ones too."""
        found = queries.find_adapter(adapter, tenant_ids=self.visible_tenants)
        return self.rows(
            queries.list_versions,
            VERSION_COLUMNS,
            version_row,
            adapter_id=found.pk,
            state=self.query.get("state"),
            approval=self.query.get("approval"),
            uploader=self.query.get("uploader"),
            metric=self.query.get("metric"),
        )

    @endpoint(
        "upload_adapter_version",
        scope="adapters.upload",
        reply=AdapterVersionOut,
        status=202,
        uploads={MULTIPART: UploadIn, **dict.fromkeys(ARCHIVE_TYPES, OpenApiTypes.BINARY)},
    )
    def post(self, request: Request, adapter: str) -> Response:
        """Upload a version.

        Send the adapter's files as multipart/form-data, or one .tar.gz as the body. The reply comes when all of it has
        arrived; the admission gate then decides, and the version becomes `ready` or `rejected` with its findings.
        """
        found = queries.find_adapter(adapter, tenant_ids=self.visible_tenants)
        tier = tier_version_of(found.tenant_id, clock.now())
        with received(request, max_bytes=tier.max_adapter_bytes) as upload:
            made = receive_upload(adapter_id=found.pk, files=upload.files, **upload.words, actor=self.actor)
        version = queries.get_version(made.public_id, tenant_ids=self.visible_tenants)
        location = f"/api/v1/adapter-versions/{version.public_id}"
        return self.reply(AdapterVersionOut, version, status=202, location=location)


class VersionDetail(ApiView):
    """One version."""

    @endpoint("get_adapter_version", scope="adapters.view", reply=AdapterVersionOut)
    def get(self, request: Request, adapter_version: str) -> Response:
        """Read a version, with what the admission gate found."""
        return self.reply(AdapterVersionOut, queries.get_version(adapter_version, tenant_ids=self.visible_tenants))
