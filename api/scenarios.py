"""/scenarios: hosting against APIs. Evaluate without saving, keep, compare."""

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import Body, PageQuery, Text
from api.endpoint import ApiView, endpoint
from api.idempotency import KeyRule
from core import clock
from provisioning import queries
from provisioning.planner.answer import answer
from provisioning.planner.catalogue import Catalogue
from provisioning.planner.scenario import MOST_APIS, MOST_HOSTED, read_scenario
from provisioning.services.scenarios import delete_scenario, save_scenario
from tenants.queries import get_tenant

FEWEST_COMPARED, MOST_COMPARED = 2, 4

INPUTS_EXAMPLE = {
    "tenants": 300,
    "requests_per_year": 30_000_000,
    "tokens_in": "307",
    "tokens_out": "533",
    "seconds_per_request": "4.4",
    "peak_to_average": "1",
    "context_tokens": 131_072,
    "hosted": ["Llama-3.1-70B-Instruct:int4:ml.g5.12xlarge"],
    "apis": ["claude-3-haiku", "llama-3-1-70b"],
}


class InputsIn(Body):
    """A load, what may host it, and the APIs that it is compared with."""

    requests_per_year = serializers.IntegerField()
    tokens_in = serializers.DecimalField(max_digits=20, decimal_places=6, help_text="Per request, on average.")
    tokens_out = serializers.DecimalField(max_digits=20, decimal_places=6, help_text="Per request, on average.")
    seconds_per_request = serializers.DecimalField(max_digits=20, decimal_places=6)
    hosted = serializers.ListField(
        child=Text(max_length=300), min_length=1, max_length=MOST_HOSTED, help_text="Each `MODEL:DTYPE:INSTANCE`."
    )
    apis = serializers.ListField(
        child=Text(max_length=120), max_length=MOST_APIS, default=list, help_text="Empty: every API with a price."
    )
    region = Text(max_length=30, default="us-west-2")
    tenants = serializers.IntegerField(default=1)
    peak_to_average = serializers.DecimalField(max_digits=20, decimal_places=6, default=Decimal("1"))
    headroom = serializers.DecimalField(
        max_digits=20,
        decimal_places=6,
        default=Decimal("0"),
        help_text="Share of sequences kept free in the busiest hour.",
    )
    context_tokens = serializers.IntegerField(
        allow_null=True, default=None, help_text="Of one sequence; the model's longest when null."
    )
    lora_rank = serializers.IntegerField(default=0)
    lora_slots = serializers.IntegerField(default=0)
    usable_fraction = serializers.DecimalField(max_digits=20, decimal_places=6, default=Decimal("0.9"))
    reserve_gib = serializers.DecimalField(max_digits=20, decimal_places=6, default=Decimal("0"))


class ScenarioIn(InputsIn):
    """A scenario to keep."""

    name = Text(max_length=120)
    tenant = Text(max_length=110, allow_null=True, default=None, help_text="Whose usage it describes, if anybody's.")


class ComparisonIn(Body):
    """Two to four scenarios, kept ones by id and others by their inputs."""

    saved = serializers.ListField(child=Text(max_length=40), max_length=MOST_COMPARED, default=list)
    scenarios = InputsIn(many=True, required=False, max_length=MOST_COMPARED)  # type: ignore[call-arg]  # DRF's list

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Raises ValidationError for too few or too many."""
        if not FEWEST_COMPARED <= len(attrs["saved"]) + len(attrs.get("scenarios", [])) <= MOST_COMPARED:
            raise ValidationError(f"Name {FEWEST_COMPARED} to {MOST_COMPARED} scenarios in `saved` and `scenarios`.")
        return attrs


class BreakEvenOut(serializers.Serializer[Any]):
    """Where the order of two options turns."""

    requests_per_year = serializers.IntegerField(allow_null=True, help_text="Null: the same one is always cheaper.")
    utilisation = serializers.FloatField(allow_null=True, help_text="Of one instance's capacity; above 1: never.")
    within_capacity = serializers.BooleanField()
    cheaper_below = serializers.CharField()
    cheaper_above = serializers.CharField()

    def get_fields(self) -> dict[str, Any]:
        """`with` is the other option's id; Python keeps the word for itself."""
        return {"with": serializers.CharField(help_text="The other option's id."), **super().get_fields()}


class OptionOut(serializers.Serializer[Any]):
    """One way to serve: an API, or an instance type on demand or under a Savings Plan."""

    id = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=["hosted", "api"])
    annual_usd = serializers.CharField(allow_null=True, help_text="Null: it cannot carry the load.")
    capacity_requests_per_year = serializers.IntegerField(
        allow_null=True, help_text="Of one instance; null for an API, whose quota is not modelled."
    )
    capacity_requests_per_second = serializers.FloatField(required=False, help_text="The same, at the load's peak.")
    instances = serializers.IntegerField(allow_null=True, required=False)
    concurrent_sequences = serializers.IntegerField(required=False)
    utilisation = serializers.FloatField(allow_null=True, required=False)
    usd_per_hour = serializers.CharField(required=False)
    usd_per_request = serializers.CharField(required=False)
    memory = serializers.DictField(required=False, help_text="Terms in GiB and GB, and the one that limits.")
    source = serializers.CharField()  # type: ignore[assignment]  # DRF moves declared fields out of the class
    as_of = serializers.DateField()
    is_stale = serializers.BooleanField()
    break_even = BreakEvenOut(many=True)


class AnswerOut(serializers.Serializer[Any]):
    """What the planner says."""

    verdict = serializers.CharField()
    verdict_ja = serializers.CharField()
    scenario = serializers.DictField()
    load = serializers.DictField(child=serializers.FloatField())
    options = OptionOut(many=True)
    cheapest = serializers.CharField(allow_null=True)
    cheapest_hosted = serializers.CharField(allow_null=True)
    cheapest_api = serializers.CharField(allow_null=True)
    refusals = serializers.ListField(
        child=serializers.DictField(), help_text="Choices that do not fit, and what would."
    )
    adapters = serializers.DictField(allow_null=True, help_text="Merged against unmerged, on the cheapest hosting.")
    price_floors = serializers.ListField(child=serializers.DictField())
    sensitivity = serializers.ListField(child=serializers.DictField())


class ScenarioOut(serializers.Serializer[Any]):
    """A kept scenario."""

    id = serializers.CharField(source="public_id")
    name = serializers.CharField()
    tenant = serializers.CharField(source="tenant.public_id", default=None, allow_null=True)
    inputs = serializers.DictField()
    saved_by = serializers.CharField()
    created_at = serializers.DateTimeField()


class AnsweredScenarioOut(ScenarioOut):
    """A kept scenario with its answer at today's prices."""

    answer = serializers.SerializerMethodField()

    @extend_schema_field(AnswerOut)
    def get_answer(self, scenario: Any) -> dict[str, Any]:
        """Worked out now: prices may have changed since it was kept."""
        return answered(scenario.inputs, queries.planner_catalogue())


class ComparisonOut(serializers.Serializer[Any]):
    """The answers side by side, in the order asked: kept ones first."""

    answers = AnswerOut(many=True)


def answered(inputs: dict[str, Any], catalogue: Catalogue) -> dict[str, Any]:
    """The planner's answer to a request's or a row's inputs."""
    return answer(read_scenario(inputs, catalogue), catalogue, clock.now().date())


class ScenarioList(ApiView):
    """All kept scenarios."""

    @endpoint("list_scenarios", scope="scenarios.view", query=PageQuery, reply=ScenarioOut, many=True)
    def get(self, request: Request) -> Response:
        """List kept scenarios, newest first."""
        return self.page(queries.list_scenarios(tenant_ids=self.visible_tenants), ScenarioOut)

    @endpoint(
        "create_scenario",
        scope="scenarios.manage",
        body=ScenarioIn,
        reply=AnsweredScenarioOut,
        status=201,
        request_example={"name": "Published example", **INPUTS_EXAMPLE},
    )
    def post(self, request: Request) -> Response:
        """Keep a scenario; the reply holds its answer."""
        inputs = dict(self.body)
        name, ref = inputs.pop("name"), inputs.pop("tenant")
        tenant = get_tenant(ref, tenant_ids=self.visible_tenants) if ref is not None else None
        kept = save_scenario(tenant_id=tenant.pk if tenant else None, name=name, inputs=inputs, actor=self.actor)
        return self.reply(AnsweredScenarioOut, kept, status=201, location=f"/api/v1/scenarios/{kept.public_id}")


class ScenarioDetail(ApiView):
    """One kept scenario."""

    @endpoint("get_scenario", scope="scenarios.view", reply=AnsweredScenarioOut)
    def get(self, request: Request, scenario: str) -> Response:
        """Read a kept scenario with its answer at today's prices."""
        return self.reply(AnsweredScenarioOut, queries.get_scenario(scenario, tenant_ids=self.visible_tenants))

    @endpoint("delete_scenario", scope="scenarios.manage", status=204)
    def delete(self, request: Request, scenario: str) -> Response:
        """Throw a kept scenario away. The audit log keeps its inputs."""
        kept = queries.get_scenario(scenario, tenant_ids=self.visible_tenants)
        delete_scenario(scenario_id=kept.pk, actor=self.actor)
        return Response(status=204)


class ScenarioEvaluation(ApiView):
    """An answer that is not kept."""

    @endpoint(
        "evaluate_scenario",
        scope="scenarios.manage",
        body=InputsIn,
        reply=AnswerOut,
        idempotency=KeyRule.IGNORED,
        request_example=INPUTS_EXAMPLE,
    )
    def post(self, request: Request) -> Response:
        """Evaluate a scenario without keeping it.

        Every option's cost of a year, its capacity and its break-even with each other option, and a verdict that says
        whether the cheaper one can carry the load.
        """
        return Response(self.show(AnswerOut, answered(self.body, queries.planner_catalogue())))


class ScenarioComparison(ApiView):
    """Several answers side by side."""

    @endpoint(
        "compare_scenarios",
        scope="scenarios.manage",
        body=ComparisonIn,
        reply=ComparisonOut,
        idempotency=KeyRule.IGNORED,
        request_example={"scenarios": [INPUTS_EXAMPLE, {**INPUTS_EXAMPLE, "requests_per_year": 3_000_000}]},
    )
    def post(self, request: Request) -> Response:
        """Compare two to four scenarios, kept or not, at today's prices."""
        seen, catalogue = self.visible_tenants, queries.planner_catalogue()
        kept = [queries.get_scenario(ref, tenant_ids=seen).inputs for ref in self.body["saved"]]
        answers = [answered(inputs, catalogue) for inputs in [*kept, *self.body.get("scenarios", [])]]
        return Response(self.show(ComparisonOut, {"answers": answers}))
