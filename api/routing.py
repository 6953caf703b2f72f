"""What decides which line answers a tenant: its choice, licences, circuit breakers, degrades, and going back."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import Body, PageQuery, ReasonIn, Text
from api.endpoint import ApiView, endpoint
from api.operations import ConfigOut
from provisioning import line_queries
from provisioning.services import config_history, line_decisions
from provisioning.services.route_states import route_states
from tenants.queries import get_tenant

MOST_LINES = 20


class LineOptionOut(serializers.Serializer[Any]):
    """A line of the tenant's tier, and whether it answers."""

    line = serializers.CharField(source="line.name")
    kind = serializers.ChoiceField(source="line.kind", choices=["hosted", "api"])
    model = serializers.CharField(source="line.model_name")
    region = serializers.CharField(source="line.region")
    position = serializers.IntegerField(allow_null=True, help_text="From 1; null: not among those that answer.")
    eula_url = serializers.CharField(source="line.eula_url", allow_blank=True)
    waits_for_licence = serializers.BooleanField(help_text="Whether the model's licence must be accepted before.")


class BreakerOut(serializers.Serializer[Any]):
    """The circuit breaker of one line of one route, over all data planes that said something within the hour."""

    route = serializers.CharField()
    line = serializers.CharField()
    state = serializers.ChoiceField(choices=["closed", "half_open", "open"], help_text="The worst that any tells.")
    since = serializers.DateTimeField(allow_null=True)
    reason = serializers.CharField(allow_blank=True)
    processes = serializers.IntegerField(help_text="How many data-plane processes told something.")
    is_tripped = serializers.BooleanField(help_text="A person keeps it open.")
    ordered_by = serializers.CharField(source="order.ordered_by", default=None, allow_null=True)
    ordered_at = serializers.DateTimeField(source="order.ordered_at", default=None, allow_null=True)


class DegradeOut(serializers.Serializer[Any]):
    """Requests of a minute that a data plane passed on from a line."""

    minute = serializers.DateTimeField()
    route = serializers.CharField()
    line = serializers.CharField(help_text="From this line,")
    to = serializers.CharField(help_text="to this one; `queue`: to wait; `refused`: to an error.")
    reason = serializers.CharField(help_text="The code of what was in the way.")
    times = serializers.IntegerField()


class ViolationOut(serializers.Serializer[Any]):
    """A rule that the newest routes break."""

    code = serializers.CharField()
    subject = serializers.CharField(help_text="Route and line.")
    detail = serializers.CharField()


class ConfigRefusalOut(serializers.Serializer[Any]):
    """Why the newest routes were not published. What was published before goes on answering."""

    violations = ViolationOut(many=True)
    what_to_do = serializers.CharField()
    refused_at = serializers.DateTimeField()


class RoutingOut(serializers.Serializer[Any]):
    """Everything that decides which line answers a tenant now."""

    tenant = serializers.CharField()
    tenant_chooses = serializers.BooleanField(help_text="Whether its tier lets it choose.")
    lines = LineOptionOut(many=True)
    breakers = BreakerOut(many=True)
    degrades = DegradeOut(many=True, help_text="The latest 50.")
    is_told = serializers.BooleanField(help_text="False: what data planes tell cannot be read now.")
    refusal = ConfigRefusalOut(allow_null=True)


class LineChoiceOut(serializers.Serializer[Any]):
    """The lines that a tenant took, in its order."""

    lines = serializers.ListField(source="line_names", child=serializers.CharField())
    changed_at = serializers.DateTimeField()
    changed_by = serializers.CharField()


class EulaAcceptanceOut(serializers.Serializer[Any]):
    """That a tenant accepted the licence of a gated model."""

    id = serializers.CharField(source="public_id")
    model = serializers.CharField(source="model_name")
    eula_url = serializers.CharField()
    accepted_by = serializers.CharField(help_text="Who said so at the tenant.")
    recorded_by = serializers.CharField()
    accepted_at = serializers.DateTimeField(source="created_at")


class OrderOut(serializers.Serializer[Any]):
    """What a person told a circuit breaker; data planes follow with the next published config."""

    route = serializers.CharField()
    line = serializers.CharField()
    is_tripped = serializers.BooleanField()
    resets = serializers.IntegerField(help_text="How often it was reset.")
    reason = serializers.CharField(allow_blank=True)
    ordered_by = serializers.CharField()
    ordered_at = serializers.DateTimeField()


class LineChoiceIn(ReasonIn):
    """Lines of the tenant's tier, in the order in which they are to answer."""

    lines = serializers.ListField(child=Text(max_length=30), min_length=1, max_length=MOST_LINES)


class EulaAcceptanceIn(Body):
    """Whose licence, and who accepted it."""

    line = Text(max_length=30, help_text="A line that the gated model answers on.")
    accepted_by = Text(max_length=200)


class BreakerIn(ReasonIn):
    """Which breaker, and why."""

    route = Text(max_length=63)
    line = Text(max_length=30)


class ConfigRollBackIn(ReasonIn):
    """Which version's routes, and why."""

    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1)


BREAKER_EXAMPLE = {"route": "base", "line": "dedicated", "reason": "Maintenance until noon."}


class TenantView(ApiView):
    """What every operation on a tenant's routes does."""

    def tenant(self, ref: str) -> Any:
        """The tenant as the caller sees it. Raises NotFound."""
        return get_tenant(ref, tenant_ids=self.visible_tenants)


class TenantRouting(TenantView):
    """How the routes stand."""

    @endpoint("get_tenant_routing", scope="operations.view", reply=RoutingOut)
    def get(self, request: Request, tenant: str) -> Response:
        """Read which lines answer a tenant, its circuit breakers, what degraded, and why routes were refused."""
        found = self.tenant(tenant)
        states = route_states(tenant_id=found.pk)
        known = {name: getattr(states, name) for name in states.__slots__}
        return self.reply(RoutingOut, {"tenant": found.public_id, **known})


class TenantLineChoice(TenantView):
    """Choosing lines."""

    @endpoint(
        "choose_lines",
        scope="tenants.manage",
        body=LineChoiceIn,
        reply=LineChoiceOut,
        request_example={"lines": ["strong-api", "dedicated"], "reason": "The tenant asked for it."},
    )
    def post(self, request: Request, tenant: str) -> Response:
        """Choose which lines of its tier answer a tenant, in which order; where the tier leaves the choice."""
        choice = line_decisions.choose_lines(
            tenant_id=self.tenant(tenant).pk,
            line_names=self.body["lines"],
            reason=self.body["reason"],
            actor=self.actor,
        )
        return self.reply(LineChoiceOut, choice)


class EulaAcceptanceList(TenantView):
    """The licences that a tenant accepted."""

    @endpoint("list_eula_acceptances", scope="tenants.view", query=PageQuery, reply=EulaAcceptanceOut, many=True)
    def get(self, request: Request, tenant: str) -> Response:
        """List the licences of gated models that a tenant accepted, newest first."""
        return self.page(line_queries.eula_acceptances(self.tenant(tenant).pk), EulaAcceptanceOut)

    @endpoint(
        "accept_eula",
        scope="tenants.manage",
        body=EulaAcceptanceIn,
        reply=EulaAcceptanceOut,
        status=201,
        request_example={"line": "strong-api", "accepted_by": "Ada Lovelace, CTO"},
    )
    def post(self, request: Request, tenant: str) -> Response:
        """Record that a tenant accepts the licence of a line's model; once is enough."""
        acceptance = line_decisions.accept_eula(
            tenant_id=self.tenant(tenant).pk,
            line_name=self.body["line"],
            accepted_by=self.body["accepted_by"],
            actor=self.actor,
        )
        return self.reply(EulaAcceptanceOut, acceptance, status=201)


class BreakerView(TenantView):
    """What tripping and resetting share."""

    def told(self, tenant: str) -> dict[str, Any]:
        """What the service wants to know."""
        return {
            "tenant_id": self.tenant(tenant).pk,
            "route": self.body["route"],
            "line_name": self.body["line"],
            "reason": self.body["reason"],
            "actor": self.actor,
        }


class BreakerTrip(BreakerView):
    """Opening one."""

    @endpoint("trip_breaker", scope="operations.retry", body=BreakerIn, reply=OrderOut, request_example=BREAKER_EXAMPLE)
    def post(self, request: Request, tenant: str) -> Response:
        """Trip a circuit breaker: keep a route off a line, in every data plane, until somebody resets it."""
        return self.reply(OrderOut, line_decisions.trip_breaker(**self.told(tenant)))


class BreakerReset(BreakerView):
    """Closing one."""

    @endpoint(
        "reset_breaker", scope="operations.retry", body=BreakerIn, reply=OrderOut, request_example=BREAKER_EXAMPLE
    )
    def post(self, request: Request, tenant: str) -> Response:
        """Reset a circuit breaker: close it in every data plane, whoever opened it."""
        return self.reply(OrderOut, line_decisions.reset_breaker(**self.told(tenant)))


class ConfigRollBack(TenantView):
    """Going back."""

    @endpoint(
        "roll_back_runtime_config",
        scope="operations.retry",
        body=ConfigRollBackIn,
        reply=ConfigOut,
        status=201,
        request_example={"version": 3, "reason": "The new line answers slowly."},
    )
    def post(self, request: Request, tenant: str) -> Response:
        """Roll back to the routes of an earlier runtime config, as a new version."""
        config = config_history.roll_back_config(
            tenant_id=self.tenant(tenant).pk,
            to_version=self.body["version"],
            reason=self.body["reason"],
            actor=self.actor,
        )
        return self.reply(ConfigOut, config, status=201)
