"""/tenants and /tiers."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import Body, PageQuery, ReasonIn, Text
from api.doors import door_of
from api.endpoint import ApiView, endpoint
from api.fields import actions_open_to
from api.idempotency import KeyRule
from core import clock
from provisioning.services.preflight import refuse_unfit
from tenants import queries
from tenants.services import lifecycle, offboarding, onboarding
from tenants.states import LEAVING, TenantState

ACTIONS = {
    "update": "tenants.manage",
    "suspend": "tenants.manage",
    "resume": "tenants.manage",
    "offboard": "tenants.manage",
}

SIGN_UP_EXAMPLE = {
    "name": "Acme Corp",
    "slug": "acme",
    "tier": "basic",
    "currency": "USD",
    "billing_timezone": "America/New_York",
    "external_id": "CRM-42",
    "contact_email": "ml@acme.example",
    "tags": {"env": "prod"},
}
TENANT_EXAMPLE = {
    "id": "ten_01kag0v8x3nq5w7t2c9r4m6p8d",
    "external_id": "CRM-42",
    "name": "Acme Corp",
    "slug": "acme",
    "tier": {"key": "basic", "name": "Basic", "version": 1},
    "currency": "USD",
    "billing_timezone": "America/New_York",
    "invoice_language": "en",
    "contact_email": "ml@acme.example",
    "tags": {"env": "prod"},
    "allowed_regions": [],
    "state": "signed_up",
    "state_reason": "",
    "version": 1,
    "created_at": "2026-11-20T09:30:00Z",
    "signed_up_at": "2026-11-20T09:30:00Z",
    "activated_at": None,
    "offboarded_at": None,
    "available_actions": ["update", "offboard"],
    "links": {
        "self": "/api/v1/tenants/ten_01kag0v8x3nq5w7t2c9r4m6p8d",
        "operations": "/api/v1/operations?tenant=ten_01kag0v8x3nq5w7t2c9r4m6p8d",
        "adapters": "/api/v1/adapters?tenant=ten_01kag0v8x3nq5w7t2c9r4m6p8d",
        "events": "/api/v1/events?tenant=ten_01kag0v8x3nq5w7t2c9r4m6p8d",
    },
}


class TenantTierOut(serializers.Serializer[Any]):
    """The tier version that a tenant is on today."""

    key = serializers.CharField(source="tier_key")
    name = serializers.CharField(source="tier_name")
    version = serializers.IntegerField(source="tier_version_number")


class TenantLinksOut(serializers.Serializer[Any]):
    """Where to read on; `operations` tells how provisioning gets on."""

    self = serializers.CharField()
    operations = serializers.CharField()
    adapters = serializers.CharField()
    events = serializers.CharField()


class TenantOut(serializers.Serializer[Any]):
    """A customer."""

    id = serializers.CharField(source="public_id")
    external_id = serializers.CharField(allow_null=True)
    name = serializers.CharField()
    slug = serializers.CharField()
    tier = TenantTierOut(source="*")
    currency = serializers.CharField()
    billing_timezone = serializers.CharField()
    invoice_language = serializers.CharField()
    contact_email = serializers.CharField(allow_blank=True)
    tags = serializers.DictField(child=serializers.CharField())
    allowed_regions = serializers.ListField(
        child=serializers.CharField(), help_text="Where its models may run; empty: anywhere."
    )
    state = serializers.ChoiceField(choices=TenantState.choices)
    state_reason = serializers.CharField(allow_blank=True)
    version = serializers.IntegerField(help_text="Raised by each change; the ETag carries it.")
    created_at = serializers.DateTimeField()
    signed_up_at = serializers.DateTimeField()
    activated_at = serializers.DateTimeField(allow_null=True)
    offboarded_at = serializers.DateTimeField(allow_null=True)
    available_actions = serializers.SerializerMethodField()
    links = serializers.SerializerMethodField()

    def get_available_actions(self, tenant: Any) -> list[str]:
        """What the caller may do with it now."""
        possible = {
            "update": tenant.state != TenantState.OFFBOARDED,
            "suspend": tenant.state == TenantState.ACTIVE,
            "resume": tenant.state == TenantState.SUSPENDED,
            "offboard": tenant.state not in LEAVING,
        }
        return actions_open_to(self.context["principal"], ACTIONS, possible)

    @extend_schema_field(TenantLinksOut)
    def get_links(self, tenant: Any) -> dict[str, str]:
        """Addresses of what belongs to it."""
        return {
            "self": f"/api/v1/tenants/{tenant.public_id}",
            "operations": f"/api/v1/operations?tenant={tenant.public_id}",
            "adapters": f"/api/v1/adapters?tenant={tenant.public_id}",
            "events": f"/api/v1/events?tenant={tenant.public_id}",
        }


class TenantQuery(PageQuery):
    """Filters of the list."""

    state = serializers.ChoiceField(choices=TenantState.choices, required=False)
    tier = serializers.CharField(required=False, max_length=30, help_text="A tier's key.")
    q = serializers.CharField(required=False, max_length=120, help_text="Part of a name, or an id.")


class TenantIn(Body):
    """What signing up needs."""

    name = Text(max_length=120)
    slug = Text(max_length=20, help_text="2 to 20 small letters, digits and single hyphens; reserved for ever.")
    tier = Text(max_length=30, help_text="A tier's key.")
    currency = Text(max_length=3, default="USD", help_text="ISO 4217.")
    billing_timezone = Text(max_length=60, default="UTC", help_text="IANA name; its midnights bound the month.")
    invoice_language = Text(max_length=2, default="en", help_text="en or ja.")
    external_id = Text(max_length=100, allow_null=True, default=None, help_text="Its id in the billing system.")
    contact_email = Text(max_length=254, allow_blank=True, default="")
    tags = serializers.DictField(child=Text(max_length=100), default=dict)
    allowed_regions = serializers.ListField(
        child=Text(max_length=20), default=list, help_text="Where its models may run; empty: anywhere."
    )


class TenantChangesIn(Body):
    """Details that can change; what is absent stays."""

    name = Text(max_length=120, required=False)
    external_id = Text(max_length=100, allow_null=True, required=False)
    invoice_language = Text(max_length=2, required=False)
    contact_email = Text(max_length=254, allow_blank=True, required=False)
    tags = serializers.DictField(child=Text(max_length=100), required=False)


class OptionalReasonIn(Body):
    """Why somebody did it, if they want to say."""

    reason = Text(max_length=500, allow_blank=True, default="")


class TenantList(ApiView):
    """All tenants."""

    @endpoint("list_tenants", scope="tenants.view", query=TenantQuery, reply=TenantOut, many=True)
    def get(self, request: Request) -> Response:
        """List tenants, newest first."""
        filters = {name: self.query.get(name) for name in ("state", "tier", "q")}
        return self.page(queries.list_tenants(tenant_ids=self.visible_tenants, **filters), TenantOut)

    @endpoint(
        "create_tenant",
        scope="tenants.manage",
        body=TenantIn,
        reply=TenantOut,
        status=201,
        idempotency=KeyRule.REQUIRED,
        fact="tenant.signed_up",
        request_example=SIGN_UP_EXAMPLE,
        reply_example=TENANT_EXAMPLE,
    )
    def post(self, request: Request) -> Response:
        """Onboard a tenant.

        The tenant is registered at once; what its tier promises is then made in AWS. Its `state` goes `signed_up`,
        `provisioning`, `active`, and `links.operations` shows each step.
        """
        details = dict(self.body)
        refuse_unfit(tier_key=details["tier"], allowed_regions=details["allowed_regions"])
        tenant = onboarding.sign_up_tenant(tier_key=details.pop("tier"), **details, actor=self.actor)
        return self.tenant_reply(tenant.public_id, status=201)

    def found_done(self, subject: str) -> Response | None:
        """The tenant that a crashed attempt had signed up, if it is the one that is asked for."""
        tenant = queries.get_tenant(subject, tenant_ids=self.visible_tenants)
        return self.tenant_reply(subject, status=201) if tenant.slug == self.body["slug"] else None

    def tenant_reply(self, public_id: str, *, status: int) -> Response:
        """The new tenant with its address."""
        tenant = queries.get_tenant(public_id, tenant_ids=self.visible_tenants)
        location = f"/api/v1/tenants/{tenant.public_id}"
        response = self.reply(TenantOut, tenant, status=status, version=tenant.version, location=location)
        response["Link"] = f'</api/v1/operations?tenant={tenant.public_id}>; rel="monitor"'
        return response


class TenantView(ApiView):
    """What every operation on one tenant does."""

    def find(self, ref: str) -> Any:
        """The tenant as the caller sees it. Raises NotFound."""
        return queries.get_tenant(ref, tenant_ids=self.visible_tenants)

    def found_done(self, subject: str) -> Response | None:
        """The tenant as it is, if it is the one in the address."""
        door = door_of(self, self.request.method or "")
        asked_for = self.find(self.kwargs["tenant"]).public_id == subject
        return self.changed(subject, status=door.status) if door and asked_for else None

    def changed(self, public_id: str, *, status: int = 200) -> Response:
        """The tenant after a change."""
        tenant = self.find(public_id)
        return self.reply(TenantOut, tenant, status=status, version=tenant.version)


class TenantDetail(TenantView):
    """One tenant."""

    @endpoint("get_tenant", scope="tenants.view", reply=TenantOut, reply_example=TENANT_EXAMPLE)
    def get(self, request: Request, tenant: str) -> Response:
        """Read a tenant."""
        return self.changed(tenant)

    @endpoint(
        "update_tenant",
        scope="tenants.manage",
        body=TenantChangesIn,
        reply=TenantOut,
        if_match=True,
        request_example={"tags": {"env": "prod", "owner": "search"}},
    )
    def patch(self, request: Request, tenant: str) -> Response:
        """Change a tenant's details.

        Slug, tier, currency and billing time zone cannot be changed here: AWS names and past invoices depend on them.
        """
        found = self.find(tenant)
        self.match(found.version)
        lifecycle.update_tenant(tenant_id=found.pk, changes=self.body, expected_version=found.version, actor=self.actor)
        return self.changed(found.public_id)


class TenantSuspension(TenantView):
    """Withdrawing a tenant's traffic."""

    @endpoint(
        "suspend_tenant",
        scope="tenants.manage",
        body=ReasonIn,
        reply=TenantOut,
        idempotency=KeyRule.REQUIRED,
        fact="tenant.suspended",
        request_example={"reason": "Invoice INV-2026-000131 is overdue."},
    )
    def post(self, request: Request, tenant: str) -> Response:
        """Suspend a tenant.

        Its traffic is withdrawn from the runtime config; its resources and data stay.
        """
        found = self.find(tenant)
        lifecycle.suspend_tenant(tenant_id=found.pk, reason=self.body["reason"], actor=self.actor)
        return self.changed(found.public_id)


class TenantResumption(TenantView):
    """Routing a suspended tenant's traffic again."""

    @endpoint(
        "resume_tenant",
        scope="tenants.manage",
        body=OptionalReasonIn,
        reply=TenantOut,
        idempotency=KeyRule.REQUIRED,
        fact="tenant.resumed",
    )
    def post(self, request: Request, tenant: str) -> Response:
        """Resume a suspended tenant."""
        found = self.find(tenant)
        lifecycle.resume_tenant(tenant_id=found.pk, reason=self.body["reason"], actor=self.actor)
        return self.changed(found.public_id)


class DepartureIn(ReasonIn):
    """Why it ends, and how long artifacts stay."""

    retention_days = serializers.IntegerField(
        required=False, min_value=0, max_value=3650, help_text="Default: as the tenant's tier version says."
    )


class TenantDeparture(TenantView):
    """Ending the relation with a tenant."""

    @endpoint(
        "offboard_tenant",
        scope="tenants.manage",
        body=DepartureIn,
        reply=TenantOut,
        status=202,
        idempotency=KeyRule.REQUIRED,
        if_match=True,
        fact="tenant.offboarding_started",
        request_example={"reason": "Contract ended on 2026-11-30."},
    )
    def post(self, request: Request, tenant: str) -> Response:
        """Offboard a tenant.

        There is no way back. Keys are revoked, resources deleted, the final invoice issued and artifacts erased;
        `/offboarding` shows how far that is.
        """
        found = self.find(tenant)
        self.match(found.version)
        offboarding.begin_offboarding(
            tenant_id=found.pk,
            reason=self.body["reason"],
            retention_days=self.body.get("retention_days"),
            actor=self.actor,
        )
        response = self.changed(found.public_id, status=202)
        response["Location"] = f"/api/v1/tenants/{found.public_id}/offboarding"
        return response


class OffboardingStepOut(serializers.Serializer[Any]):
    """One thing that a departure waits for."""

    key = serializers.CharField()
    done_at = serializers.DateTimeField(allow_null=True)
    detail = serializers.JSONField()


class OffboardingOut(serializers.Serializer[Any]):
    """How far a departure is."""

    tenant = serializers.CharField()
    state = serializers.ChoiceField(choices=TenantState.choices)
    retain_until = serializers.DateTimeField(allow_null=True, help_text="Until then artifacts stay.")
    erasure_waits_for = serializers.CharField(allow_blank=True, help_text="Why artifacts are not erased yet.")
    steps = OffboardingStepOut(many=True)


class TenantOffboarding(TenantView):
    """How far a departure is."""

    @endpoint("get_offboarding", scope="tenants.view", reply=OffboardingOut)
    def get(self, request: Request, tenant: str) -> Response:
        """Read how far a departure is; there are no steps before it begins."""
        found = self.find(tenant)
        steps = queries.offboarding_steps(found.pk)
        told = {
            "tenant": found.public_id,
            "state": found.state,
            "retain_until": found.retain_until,
            "erasure_waits_for": queries.erasure_waits_for(found, clock.now()),
            "steps": steps,
        }
        return self.reply(OffboardingOut, told)


class TierVersionOut(serializers.Serializer[Any]):
    """What a tier promises; a published version never changes."""

    number = serializers.IntegerField()
    isolation = serializers.CharField()
    max_adapters = serializers.IntegerField()
    max_adapter_bytes = serializers.IntegerField()
    max_lora_rank = serializers.IntegerField()
    keep_previous_warm = serializers.BooleanField()
    warm_window_hours = serializers.IntegerField()
    published_at = serializers.DateTimeField(allow_null=True)


class TierOut(serializers.Serializer[Any]):
    """A named promise."""

    id = serializers.CharField(source="public_id")
    key = serializers.CharField()
    name = serializers.CharField()
    versions = TierVersionOut(many=True)


class TierList(ApiView):
    """All tiers."""

    @endpoint("list_tiers", scope="tenants.view", query=PageQuery, reply=TierOut, many=True)
    def get(self, request: Request) -> Response:
        """List tiers in their order."""
        return self.page(queries.list_tiers(), TierOut, order="position")
