"""/accounts, a tenant's own account with its proof, its policy, and the pre-flight."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import Body, PageQuery, Text
from api.endpoint import ApiView, endpoint
from core.clock import now
from provisioning import queries
from provisioning.services import account_setup, accounts
from provisioning.services.preflight import preflight
from tenants.queries import current_tier_version, get_tenant, tier_version_of

ACCOUNT_EXAMPLE = {
    "id": "acc_01kag0v8x3nq5w7t2c9r4m6p8d",
    "kind": "split",
    "account_id": "222222222222",
    "tenant": "ten_01kag0v8x3nq5w7t2c9r4m6p8d",
    "regions": ["us-west-2"],
    "role_arn": "arn:aws:iam::222222222222:role/controlplane-local",
    "external_id": "2f1c5a52-8a43-4d05-9f3b-0c8f6f2a8b11",
    "execution_role_arn": "arn:aws:iam::222222222222:role/controlplane-local-execution",
    "condition": "proven",
    "access_detail": "",
    "what_to_do": "",
    "proven_at": "2026-11-20T09:30:00Z",
    "access_lost_at": None,
}
REGISTER_EXAMPLE = {"account_id": "222222222222", "regions": ["us-west-2"]}


class AccountOut(serializers.Serializer[Any]):
    """An AWS account beside the installation's own."""

    id = serializers.CharField(source="public_id")
    kind = serializers.CharField(help_text="split: the tenant's own; dedicated: ours, for it alone.")
    account_id = serializers.CharField()
    tenant = serializers.CharField(source="tenant.public_id", default=None, allow_null=True, help_text="Null: free.")
    regions = serializers.ListField(child=serializers.CharField())
    role_arn = serializers.CharField(help_text="The role that we assume.")
    external_id = serializers.CharField(help_text="Drawn by us; the role's trust policy must demand it.")
    execution_role_arn = serializers.CharField(help_text="The role that containers run with.")
    condition = serializers.ChoiceField(choices=["unproven", "proven", "access_lost", "closed"])
    access_detail = serializers.CharField(allow_blank=True, help_text="What AWS said when access was lost.")
    what_to_do = serializers.CharField(allow_blank=True)
    proven_at = serializers.DateTimeField(allow_null=True)
    access_lost_at = serializers.DateTimeField(allow_null=True)


class ProofOut(serializers.Serializer[Any]):
    """One check of a proof."""

    check = serializers.CharField(source="check_key")
    has_passed = serializers.BooleanField()
    detail = serializers.CharField()
    request_id = serializers.CharField(allow_blank=True)
    at = serializers.DateTimeField()
    by = serializers.CharField()


class DocumentOut(serializers.Serializer[Any]):
    """One IAM document and where it belongs."""

    key = serializers.CharField()
    title = serializers.CharField()
    where = serializers.CharField()
    policy = serializers.JSONField()


class TenantAccountOut(serializers.Serializer[Any]):
    """What the tenant's tier asks for, and the account that it has for it."""

    isolation = serializers.CharField()
    account = AccountOut(allow_null=True)
    documents = DocumentOut(many=True)
    proofs = ProofOut(many=True)


class PolicyOut(serializers.Serializer[Any]):
    """An IAM policy for sessions that carry the tenant's id as the tag `TenantId`."""

    tenant = serializers.CharField()
    policy = serializers.JSONField()


class CheckOut(serializers.Serializer[Any]):
    """One check of the pre-flight."""

    key = serializers.CharField()
    ok = serializers.BooleanField()
    detail = serializers.CharField()
    shortfall = serializers.CharField(allow_blank=True)
    code = serializers.CharField(allow_blank=True)
    what_to_do = serializers.CharField(allow_blank=True)


class PreflightOut(serializers.Serializer[Any]):
    """Whether a tenant could be served on a tier, with every reason against it."""

    ok = serializers.BooleanField()
    checks = CheckOut(many=True)


class RegistrationIn(Body):
    """An account and the regions in which resources may be made there."""

    account_id = Text(max_length=12, help_text="12 digits.")
    regions = serializers.ListField(child=Text(max_length=20))


class DedicatedIn(RegistrationIn):
    """An account of ours, for a tenant or for one to come."""

    tenant = Text(max_length=100, allow_null=True, default=None, help_text="Null: it waits for a tenant.")


class PreflightIn(Body):
    """Which tier."""

    tier = Text(max_length=30, required=False, help_text="A tier's key; by default the tenant's own.")


class AccountList(ApiView):
    """All accounts beside our own."""

    @endpoint("list_accounts", scope="operations.view", query=PageQuery, reply=AccountOut, many=True)
    def get(self, request: Request) -> Response:
        """List AWS accounts, newest first."""
        return self.page(queries.list_accounts(self.visible_tenants), AccountOut)

    @endpoint(
        "register_account",
        scope="tenants.manage",
        body=DedicatedIn,
        reply=AccountOut,
        status=201,
        request_example=REGISTER_EXAMPLE | {"tenant": None},
        reply_example=ACCOUNT_EXAMPLE | {"kind": "dedicated", "tenant": None, "condition": "unproven"},
    )
    def post(self, request: Request) -> Response:
        """Register a dedicated account of ours."""
        ref = self.body["tenant"]
        tenant = get_tenant(ref, tenant_ids=self.visible_tenants) if ref else None
        account = accounts.register_dedicated_account(
            account_id=self.body["account_id"],
            regions=self.body["regions"],
            tenant_id=tenant.pk if tenant else None,
            actor=self.actor,
        )
        return self.reply(AccountOut, account, status=201)


class TenantAccount(ApiView):
    """The account that a tenant has to itself."""

    @endpoint("get_tenant_account", scope="tenants.view", reply=TenantAccountOut)
    def get(self, request: Request, tenant: str) -> Response:
        """Read a tenant's account.

        With it come the roles to create there, as JSON to paste, and what the last proof found.
        """
        return self.reply(TenantAccountOut, account_setup.page_of(self.find(tenant)))

    @endpoint(
        "register_tenant_account",
        scope="tenants.manage",
        body=RegistrationIn,
        reply=AccountOut,
        status=201,
        request_example=REGISTER_EXAMPLE,
        reply_example=ACCOUNT_EXAMPLE | {"condition": "unproven", "proven_at": None},
    )
    def post(self, request: Request, tenant: str) -> Response:
        """Register a tenant's own account.

        The external id is drawn by the control plane. Nothing is made in the account before its proof has passed.
        """
        account = accounts.register_tenant_account(tenant_id=self.find(tenant).pk, **self.body, actor=self.actor)
        return self.reply(AccountOut, account, status=201)

    def find(self, ref: str) -> Any:
        """The tenant as the caller sees it. Raises NotFound."""
        return get_tenant(ref, tenant_ids=self.visible_tenants)


class TenantAccountProof(ApiView):
    """Proving the role of a tenant's account."""

    @endpoint("prove_tenant_account", scope="tenants.manage", reply=TenantAccountOut)
    def post(self, request: Request, tenant: str) -> Response:
        """Prove a tenant's account.

        The role must refuse us without the external id and with another one, and with ours lead into that account.
        """
        found = get_tenant(tenant, tenant_ids=self.visible_tenants)
        accounts.prove_account(aws_account_id=account_setup.tenant_account(found).pk, actor=self.actor)
        return self.reply(TenantAccountOut, account_setup.page_of(found))


class TenantPolicy(ApiView):
    """What a tenant's data plane may do."""

    @endpoint("get_tenant_policy", scope="tenants.view", reply=PolicyOut)
    def get(self, request: Request, tenant: str) -> Response:
        """Read a tenant's data plane policy.

        Its own prefix of the bucket and its own components, by the session tag `TenantId`; bases of others are denied.
        """
        found = get_tenant(tenant, tenant_ids=self.visible_tenants)
        said = {"tenant": found.public_id, "policy": account_setup.tenant_policy_of(found)}
        return self.reply(PolicyOut, said)


class TenantPreflight(ApiView):
    """Whether a tier would run for a tenant."""

    @endpoint(
        "preflight_tenant",
        scope="tenants.view",
        body=PreflightIn,
        reply=PreflightOut,
        request_example={"tier": "basic"},
    )
    def post(self, request: Request, tenant: str) -> Response:
        """Check whether a tenant could be served on a tier; AWS is asked, and nothing is changed."""
        found = get_tenant(tenant, tenant_ids=self.visible_tenants)
        tier = self.body.get("tier")
        version = current_tier_version(tier) if tier else tier_version_of(found.pk, now())
        return self.reply(PreflightOut, preflight(tenant_id=found.pk, tier_version_id=version.pk))
