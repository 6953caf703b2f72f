"""/api-keys: issuing, listing and revoking keys."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import queries, services
from accounts.access import require_grantable
from accounts.roles import ALL_PERMISSIONS
from api.bodies import Body, PageQuery, Text
from api.endpoint import ApiView, endpoint
from api.fields import actions_open_to
from api.idempotency import KeyRule
from api.tenants import OptionalReasonIn
from tenants.queries import get_tenant


class ApiKeyOut(serializers.Serializer[Any]):
    """A key, without its secret."""

    id = serializers.CharField(source="public_id")
    name = serializers.CharField()
    hint = serializers.CharField(help_text="How the key begins and ends, so that people recognize it.")
    tenant = serializers.CharField(source="tenant.public_id", default=None, allow_null=True)
    scopes = serializers.ListField(child=serializers.CharField())
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    revoked_at = serializers.DateTimeField(allow_null=True)
    revoked_reason = serializers.CharField(allow_blank=True)
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="To the minute.")
    available_actions = serializers.SerializerMethodField()

    def get_available_actions(self, key: Any) -> list[str]:
        """What the caller may do with it now."""
        possible = {"revoke": key.revoked_at is None}
        return actions_open_to(self.context["principal"], {"revoke": "keys.manage"}, possible)


class IssuedApiKeyOut(ApiKeyOut):
    """A new key with its plaintext, which is shown this once."""

    key = serializers.SerializerMethodField()

    def get_key(self, key: Any) -> str:
        """The plaintext."""
        return str(self.context["plaintext"])


class ApiKeyIn(Body):
    """What a key needs."""

    name = Text(max_length=services.LONGEST_NAME, help_text="What or who will use it.")
    scopes = serializers.ListField(child=Text(max_length=40), min_length=1, max_length=len(ALL_PERMISSIONS))
    tenant = Text(max_length=110, allow_null=True, default=None, help_text="Limits the key to this tenant.")
    expires_at = serializers.DateTimeField(
        allow_null=True, default=None, help_text="At most 365 days ahead; 90 days when absent."
    )


class ApiKeyQuery(PageQuery):
    """Filters of the list."""

    tenant = serializers.CharField(required=False, max_length=110, help_text="A tenant's id, slug or `ext:…`.")


class ApiKeyList(ApiView):
    """All keys."""

    @endpoint("list_api_keys", scope="keys.manage", query=ApiKeyQuery, reply=ApiKeyOut, many=True)
    def get(self, request: Request) -> Response:
        """List API keys, newest first; secrets are not kept and cannot be read."""
        tenant_ids = self.visible_tenants
        if tenant := self.query.get("tenant"):
            tenant_ids = {get_tenant(tenant, tenant_ids=tenant_ids).pk}
        return self.page(queries.list_api_keys(tenant_ids=tenant_ids), ApiKeyOut)

    @endpoint(
        "issue_api_key",
        scope="keys.manage",
        body=ApiKeyIn,
        reply=IssuedApiKeyOut,
        status=201,
        # A kept reply would keep the plaintext, which must be nowhere.
        idempotency=KeyRule.IGNORED,
        request_example={"name": "billing export", "scopes": ["invoices.view", "usage.view"]},
    )
    def post(self, request: Request) -> Response:
        """Issue an API key.

        The reply holds the key, this once. You can give a key only scopes that you hold yourself. An
        `Idempotency-Key` has no effect here, because the reply is not kept: revoke a key whose reply was lost.
        """
        ref = self.body["tenant"]
        tenant = get_tenant(ref, tenant_ids=self.visible_tenants) if ref is not None else None
        tenant_id = tenant.pk if tenant else None
        scopes = self.body["scopes"]
        require_grantable(self.principal, scopes=set(scopes) & ALL_PERMISSIONS, tenant_id=tenant_id)
        key, plaintext = services.issue_api_key(
            name=self.body["name"],
            scopes=scopes,
            tenant_id=tenant_id,
            expires_at=self.body["expires_at"],
            actor=self.actor,
        )
        context = {"principal": self.principal, "plaintext": plaintext}
        location = f"/api/v1/api-keys/{key.public_id}"
        return Response(IssuedApiKeyOut(key, context=context).data, status=201, headers={"Location": location})


class ApiKeyDetail(ApiView):
    """One key."""

    @endpoint("get_api_key", scope="keys.manage", reply=ApiKeyOut)
    def get(self, request: Request, api_key: str) -> Response:
        """Read an API key."""
        return self.reply(ApiKeyOut, queries.get_api_key(api_key, tenant_ids=self.visible_tenants))


class ApiKeyRevocation(ApiView):
    """Putting a key out of use."""

    @endpoint("revoke_api_key", scope="keys.manage", body=OptionalReasonIn, reply=ApiKeyOut)
    def post(self, request: Request, api_key: str) -> Response:
        """Revoke an API key.

        It is refused from the next request on. A revoked key stays as it was revoked.
        """
        found = queries.get_api_key(api_key, tenant_ids=self.visible_tenants)
        revoked = services.revoke_api_key(key_id=found.pk, reason=self.body["reason"], actor=self.actor)
        return self.reply(ApiKeyOut, revoked)
