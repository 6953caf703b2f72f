"""/tier-versions: what tiers promise, version by version."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import Body, Flag, PageQuery, Text
from api.doors import door_of
from api.endpoint import ApiView, endpoint
from api.idempotency import KeyRule
from billing.queries.tier_versions import get_tier_version, list_tier_versions
from billing.services import tier_versions
from core.errors import Forbidden
from tenants.services.tiers import TierLimits, TokenLimit

BIG = 2**53 - 1
SMALL = 2**31 - 1
EXAMPLE = {
    "tier": "basic",
    "max_adapters": 5,
    "max_adapter_bytes": 268435456,
    "max_lora_rank": 16,
    "keep_previous_warm": False,
    "lines": ["pooled"],
    "on_suspend": "remove",
    "retention_days": 30,
    "token_limits": [{"meter": "total_tokens", "window": "month", "amount": 100000000, "mode": "hard"}],
}


class OperatorsOnly(Forbidden):
    """A key of one tenant may not do what touches all of them."""

    code = "operators_only"
    title = "For operators only"


class TokenLimitIn(Body):
    """How many tokens a window allows."""

    meter = serializers.ChoiceField(choices=["input_tokens", "output_tokens", "total_tokens"])
    window = serializers.ChoiceField(choices=["minute", "day", "month"])
    amount = serializers.IntegerField(min_value=1, max_value=BIG)
    mode = serializers.ChoiceField(choices=["hard", "soft", "shadow"], default="hard")


class TierVersionIn(Body):
    """Everything that the next version of a tier promises."""

    tier = Text(max_length=30, help_text="The tier's key.")
    lines = serializers.ListField(child=Text(max_length=30), min_length=1, max_length=20, help_text="In order.")
    isolation = serializers.ChoiceField(choices=["pool", "split", "dedicated"], default="pool")
    max_adapters = serializers.IntegerField(min_value=0, max_value=SMALL)
    max_adapter_bytes = serializers.IntegerField(min_value=1, max_value=BIG)
    max_lora_rank = serializers.IntegerField(min_value=1, max_value=512)
    keep_previous_warm = Flag(default=False)
    warm_window_hours = serializers.IntegerField(min_value=0, max_value=8760, default=0)
    on_suspend = serializers.ChoiceField(choices=["keep", "remove"], default="keep")
    retention_days = serializers.IntegerField(min_value=0, max_value=3650, default=0)
    approval = serializers.ChoiceField(choices=["none", "required", "four_eyes"], default="none")
    token_limits = serializers.ListField(child=TokenLimitIn(), max_length=9, default=list)
    rate_cards = serializers.ListField(
        child=Text(max_length=40),
        max_length=50,
        default=list,
        help_text="Ids; without any, the newest version's prices.",
    )


class TokenLimitOut(serializers.Serializer[Any]):
    """How many tokens a window allows."""

    meter = serializers.CharField()
    window = serializers.CharField()
    amount = serializers.IntegerField()
    mode = serializers.CharField()


class VersionPriceOut(serializers.Serializer[Any]):
    """The rate card that prices the version in a currency today."""

    currency = serializers.CharField()
    rate_card = serializers.CharField(source="rate_card.public_id")


class FullTierVersionOut(serializers.Serializer[Any]):
    """What a version of a tier promises, and who is on it; a published one never changes."""

    id = serializers.CharField(source="public_id")
    tier = serializers.CharField(source="tier.key")
    number = serializers.IntegerField()
    published_at = serializers.DateTimeField(allow_null=True, help_text="Null: a draft.")
    tenant_count = serializers.IntegerField()
    isolation = serializers.CharField()
    lines = serializers.SerializerMethodField()
    max_adapters = serializers.IntegerField()
    max_adapter_bytes = serializers.IntegerField()
    max_lora_rank = serializers.IntegerField()
    keep_previous_warm = serializers.BooleanField()
    warm_window_hours = serializers.IntegerField()
    on_suspend = serializers.CharField()
    retention_days = serializers.IntegerField()
    approval = serializers.CharField()
    token_limits = TokenLimitOut(many=True)
    prices = VersionPriceOut(many=True)

    def get_lines(self, version: Any) -> list[str]:
        """Serving lines in order."""
        return [route.line.name for route in version.routes.all()]


class TierVersionQuery(PageQuery):
    """Filters of the list."""

    tier = serializers.CharField(required=False, max_length=30, help_text="A tier's key.")


class TierVersionView(ApiView):
    """What the operations on tier versions share."""

    def version_reply(self, public_id: str, *, status: int = 200) -> Response:
        """A version with its address."""
        version = get_tier_version(public_id, tenant_ids=self.visible_tenants)
        location = f"/api/v1/tier-versions/{version.public_id}"
        return self.reply(FullTierVersionOut, version, status=status, location=location if status == 201 else "")

    def found_done(self, subject: str) -> Response | None:
        """The version as it is, if the crashed attempt was about it."""
        door, asked = door_of(self, self.request.method or ""), self.kwargs.get("tier_version", subject)
        return self.version_reply(subject, status=door.status) if door and asked == subject else None


class TierVersionList(TierVersionView):
    """All versions of all tiers."""

    @endpoint("list_tier_versions", scope="tenants.view", query=TierVersionQuery, reply=FullTierVersionOut, many=True)
    def get(self, request: Request) -> Response:
        """List tier versions, newest first; those of one tier with `tier`."""
        found = list_tier_versions(tenant_ids=self.visible_tenants, tier=self.query.get("tier"))
        return self.page(found, FullTierVersionOut)

    @endpoint(
        "create_tier_version",
        scope="tenants.manage",
        body=TierVersionIn,
        reply=FullTierVersionOut,
        status=201,
        idempotency=KeyRule.REQUIRED,
        fact="tier_version.drafted",
        request_example=EXAMPLE,
    )
    def post(self, request: Request) -> Response:
        """Draft the next version of a tier.

        Tenants stay on the version that they are on; nobody can be placed on a draft before it is published.
        """
        if self.visible_tenants is not None:
            raise OperatorsOnly("A key of one tenant cannot change what tiers promise.")
        body = dict(self.body)
        version = tier_versions.create_tier_version(
            tier_key=body.pop("tier"),
            lines=body.pop("lines"),
            rate_cards=body.pop("rate_cards"),
            tokens=[TokenLimit(**each) for each in body.pop("token_limits")],
            limits=TierLimits(**body),
            actor=self.actor,
        )
        return self.version_reply(version.public_id, status=201)


class TierVersionDetail(TierVersionView):
    """One version."""

    @endpoint("get_tier_version", scope="tenants.view", reply=FullTierVersionOut)
    def get(self, request: Request, tier_version: str) -> Response:
        """Read a tier version."""
        return self.version_reply(tier_version)


class TierVersionPublication(TierVersionView):
    """Closing a version to change."""

    @endpoint(
        "publish_tier_version",
        scope="tenants.manage",
        reply=FullTierVersionOut,
        idempotency=KeyRule.REQUIRED,
        fact="tier_version.published",
    )
    def post(self, request: Request, tier_version: str) -> Response:
        """Publish a tier version: newcomers are placed on it, and tenants can be moved to it."""
        found = get_tier_version(tier_version, tenant_ids=self.visible_tenants)
        tier_versions.publish_tier_version(tier_version_id=found.pk, actor=self.actor)
        return self.version_reply(found.public_id)
