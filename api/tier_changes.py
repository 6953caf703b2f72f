"""/tenants/…/tier-change and /bulk-operations: moving one tenant or many, after a dry run."""

from collections.abc import Collection
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import Body, PageQuery, Text
from api.endpoint import ApiView, endpoint
from api.idempotency import KeyRule
from api.operations import OperationOut
from api.tier_versions import OperatorsOnly
from billing.services import tier_changes
from core.errors import FieldError, Invalid, NotFound
from provisioning import outcomes, queries
from provisioning.services.bulk import retry_failed
from tenants.queries import get_tenant, get_tier_version, tenants_on_tier

LARGEST = 2**31 - 1


class PlannedResourceOut(serializers.Serializer[Any]):
    """What happens to one resource."""

    action = serializers.ChoiceField(choices=["make", "keep", "remove"])
    kind = serializers.CharField()
    line = serializers.CharField(allow_blank=True)
    name = serializers.CharField()
    is_shared = serializers.BooleanField()
    instance_type = serializers.CharField(allow_blank=True)
    instance_count = serializers.IntegerField()


class ObstacleOut(serializers.Serializer[Any]):
    """What stands against it, and what to do."""

    code = serializers.CharField()
    detail = serializers.CharField()
    hint = serializers.CharField(allow_blank=True)


class RateDifferenceOut(serializers.Serializer[Any]):
    """A price that differs; empty where a card has none."""

    description = serializers.CharField()
    before = serializers.CharField(allow_blank=True)
    after = serializers.CharField(allow_blank=True)


class PriceChangeOut(serializers.Serializer[Any]):
    """Money without tax and discounts. `this_month_*` with the usage known now, `per_month_*` without usage."""

    currency = serializers.CharField()
    effective_from = serializers.DateTimeField(help_text="The start of the bucket that the change would fall into.")
    card_before = serializers.CharField()
    card_after = serializers.CharField()
    this_month_before = serializers.CharField()
    this_month_after = serializers.CharField()
    this_month_difference = serializers.CharField()
    per_month_before = serializers.CharField()
    per_month_after = serializers.CharField()
    per_month_difference = serializers.CharField()
    rates = RateDifferenceOut(many=True)


class TierChangePlanOut(serializers.Serializer[Any]):
    """The dry run of a tier change."""

    tenant = serializers.CharField(source="plan.tenant.public_id")
    from_version = serializers.CharField(source="plan.from_version.public_id")
    to_version = serializers.CharField(source="plan.to_version.public_id")
    is_possible = serializers.SerializerMethodField()
    obstacles = ObstacleOut(many=True)
    downtime_seconds = serializers.IntegerField(source="plan.downtime_seconds")
    resources = PlannedResourceOut(source="plan.resources", many=True)
    memory = serializers.ListField(
        child=serializers.CharField(), source="plan.memory", help_text="Of each hosted line on which it fits."
    )
    price = PriceChangeOut(allow_null=True)

    def get_is_possible(self, proposal: Any) -> bool:
        """Whether nothing stands against it."""
        return not proposal.obstacles


class TierWanted(Body):
    """The tier version to go to."""

    tier = Text(max_length=30, help_text="A tier's key.")
    version = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST, help_text="Default: the newest.")


class TierChangeIn(TierWanted):
    """The tier version to go to, and why."""

    reason = Text(max_length=500, allow_blank=True, default="")


class TierChangePreview(ApiView):
    """The dry run of one tenant's change."""

    @endpoint(
        "preview_tier_change",
        scope="tenants.view",
        body=TierWanted,
        reply=TierChangePlanOut,
        request_example={"tier": "basic"},
    )
    def post(self, request: Request, tenant: str) -> Response:
        """Preview a tier change: what is made and removed, what it costs, and what stands against it.

        AWS is asked for quotas and for what is in use, and nothing is changed.
        """
        found = get_tenant(tenant, tenant_ids=self.visible_tenants)
        wanted = get_tier_version(self.body["tier"], self.body.get("version"))
        if wanted.published_at is None and self.visible_tenants is not None:
            raise NotFound(f"There is no version {wanted.number} of a tier {wanted.tier.key}.")
        proposal = tier_changes.propose_tier_change(tenant_id=found.pk, tier_version_id=wanted.pk)
        return self.reply(TierChangePlanOut, proposal)


class TenantTierChange(ApiView):
    """Changing one tenant's tier."""

    @endpoint(
        "change_tier",
        scope="tenants.manage",
        body=TierChangeIn,
        reply=OperationOut,
        status=202,
        idempotency=KeyRule.REQUIRED,
        fact="tenant.tier_change_started",
        request_example={"tier": "basic", "reason": "They grew."},
    )
    def post(self, request: Request, tenant: str) -> Response:
        """Change a tenant's tier.

        New resources are made beside the old ones and proved, traffic moves, the old ones go; the tenant answers
        throughout. What fails half-way goes back. The operation tells how far it is.
        """
        found = get_tenant(tenant, tenant_ids=self.visible_tenants)
        wanted = get_tier_version(self.body["tier"], self.body.get("version"))
        operation = tier_changes.change_tier(
            tenant_id=found.pk, tier_version_id=wanted.pk, reason=self.body["reason"], actor=self.actor
        )
        return self.followed(operation.public_id)

    def found_done(self, subject: str) -> Response | None:
        """The operation of the change that a crashed attempt had begun."""
        found = get_tenant(subject, tenant_ids=self.visible_tenants)
        newest = queries.operations([found.pk], kind="change_tier").first()
        return self.followed(newest.public_id) if newest is not None else None

    def followed(self, public_id: str) -> Response:
        """The operation to follow."""
        operation = queries.operation(public_id, tenant_ids=self.visible_tenants)
        return self.reply(OperationOut, operation, status=202, location=f"/api/v1/operations/{public_id}")


class BulkIn(Body):
    """One deed for many tenants: those named, or with `on_tier` all on a tier."""

    kind = serializers.ChoiceField(choices=["change_tier", "suspend", "resume"])
    tenants = serializers.ListField(child=Text(max_length=110), max_length=500, default=list)
    on_tier = Text(max_length=30, required=False, help_text="Everybody on this tier, whatever the version.")
    tier = Text(max_length=30, required=False, help_text="For change_tier: the tier to go to.")
    version = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST, help_text="Default: the newest.")
    reason = Text(max_length=500, allow_blank=True, default="")


class BulkPlanItemOut(serializers.Serializer[Any]):
    """What would become of one tenant."""

    tenant = serializers.CharField(source="tenant.public_id")
    outcome = serializers.ChoiceField(source="item.outcome", choices=["change", "skip", "blocked"])
    detail = serializers.CharField(source="item.detail")
    resources = PlannedResourceOut(source="item.plan.resources", many=True, default=list)
    price = PriceChangeOut(allow_null=True)


class BulkPlanOut(serializers.Serializer[Any]):
    """The dry run of a bulk operation; nothing is written."""

    items = BulkPlanItemOut(many=True)


class BulkOut(serializers.Serializer[Any]):
    """One deed for many tenants, and how far it is."""

    id = serializers.CharField(source="public_id")
    kind = serializers.CharField()
    tier_version = serializers.CharField(source="tier_version.public_id", default=None, allow_null=True)
    reason = serializers.CharField(allow_blank=True)
    started_by = serializers.CharField()
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    total = serializers.IntegerField(help_text="Tenants.")
    ended = serializers.IntegerField(help_text="Tenants that have their outcome.")
    failed = serializers.IntegerField()


class BulkItemOut(serializers.Serializer[Any]):
    """What became of one tenant."""

    tenant = serializers.CharField(source="tenant.public_id")
    state = serializers.ChoiceField(choices=["waiting", "working", "done", "skipped", "failed"])
    code = serializers.CharField(allow_blank=True)
    detail = serializers.CharField(allow_blank=True)
    attempts = serializers.IntegerField()
    operation = serializers.CharField(source="operation.public_id", default=None, allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)


EXAMPLE = {"kind": "suspend", "tenants": ["ext:CRM-42"], "reason": "Invoices are overdue."}


class BulkView(ApiView):
    """What the bulk operations share."""

    def wanted(self) -> dict[str, Any]:
        """The deed as services want it. Raises NotFound, and Invalid for fields that contradict each other."""
        if self.visible_tenants is not None:
            raise OperatorsOnly("A key of one tenant cannot act on many.")
        if bool(self.body["tenants"]) == ("on_tier" in self.body):
            error = FieldError("/tenants", "ambiguous", "Name tenants or a tier that they are on.")
            raise Invalid(error.detail, errors=[error])
        tier = self.body.get("tier")
        version = get_tier_version(tier, self.body.get("version")) if tier else None
        return {
            "kind": self.body["kind"],
            "tenant_ids": self.chosen(),
            "tier_version_id": version.pk if version else None,
        }

    def chosen(self) -> Collection[int]:
        """The tenants' keys. Raises NotFound."""
        if "on_tier" in self.body:
            found = tenants_on_tier(self.body["on_tier"], tenant_ids=self.visible_tenants)
            return list(found.values_list("pk", flat=True))
        return {get_tenant(ref, tenant_ids=self.visible_tenants).pk for ref in self.body["tenants"]}

    def bulk_reply(self, public_id: str, *, status: int = 200) -> Response:
        """A bulk operation as it is."""
        found = outcomes.bulk_operation(public_id, tenant_ids=self.visible_tenants)
        location = f"/api/v1/bulk-operations/{public_id}" if status == 202 else ""
        return self.reply(BulkOut, found, status=status, location=location)

    def found_done(self, subject: str) -> Response | None:
        """What a crashed attempt had begun."""
        asked = self.kwargs.get("bulk_operation", subject)
        return self.bulk_reply(subject, status=202) if asked == subject else None


class BulkOperationList(BulkView):
    """All bulk operations."""

    @endpoint("list_bulk_operations", scope="operations.view", query=PageQuery, reply=BulkOut, many=True)
    def get(self, request: Request) -> Response:
        """List bulk operations, newest first."""
        return self.page(outcomes.bulk_operations(tenant_ids=self.visible_tenants), BulkOut)

    @endpoint(
        "start_bulk_operation",
        scope="tenants.manage",
        body=BulkIn,
        reply=BulkOut,
        status=202,
        idempotency=KeyRule.REQUIRED,
        fact="bulk_operation.started",
        request_example=EXAMPLE,
    )
    def post(self, request: Request) -> Response:
        """Change the tier of, suspend or resume many tenants; each has its own outcome."""
        bulk = tier_changes.start_bulk(**self.wanted(), reason=self.body["reason"], actor=self.actor)
        return self.bulk_reply(bulk.public_id, status=202)


class BulkOperationPreview(BulkView):
    """The dry run."""

    @endpoint("preview_bulk_operation", scope="tenants.manage", body=BulkIn, reply=BulkPlanOut, request_example=EXAMPLE)
    def post(self, request: Request) -> Response:
        """Preview a bulk operation: what would become of each tenant, with resources and prices."""
        return self.reply(BulkPlanOut, {"items": tier_changes.propose_bulk(**self.wanted())})


class BulkOperationDetail(BulkView):
    """One bulk operation."""

    @endpoint("get_bulk_operation", scope="operations.view", reply=BulkOut)
    def get(self, request: Request, bulk_operation: str) -> Response:
        """Read how far a bulk operation is."""
        return self.bulk_reply(bulk_operation)


class BulkOperationItems(BulkView):
    """Its tenants."""

    @endpoint("list_bulk_items", scope="operations.view", query=PageQuery, reply=BulkItemOut, many=True)
    def get(self, request: Request, bulk_operation: str) -> Response:
        """List what became of each tenant of a bulk operation."""
        found = outcomes.bulk_operation(bulk_operation, tenant_ids=self.visible_tenants)
        return self.page(outcomes.bulk_items(found.pk), BulkItemOut, order="id")


class BulkOperationRetry(BulkView):
    """Trying again."""

    @endpoint(
        "retry_bulk_operation",
        scope="tenants.manage",
        reply=BulkOut,
        status=202,
        idempotency=KeyRule.REQUIRED,
        fact="bulk_operation.retried",
    )
    def post(self, request: Request, bulk_operation: str) -> Response:
        """Retry those tenants of a bulk operation that failed, and only those."""
        found = outcomes.bulk_operation(bulk_operation, tenant_ids=self.visible_tenants)
        retry_failed(bulk_id=found.pk, actor=self.actor)
        return self.bulk_reply(found.public_id, status=202)
