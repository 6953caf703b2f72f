"""/inventory: how AWS differs from what our rows say, and what to do about it: adopt, delete, ignore."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import PageQuery, ReasonIn, Text
from api.endpoint import ApiView, endpoint
from api.fields import actions_open_to
from core.errors import FieldError, Invalid
from provisioning import queries
from provisioning.services.adopting import adopt_orphan
from provisioning.services.findings import ignore_finding, unignore_finding
from provisioning.services.orphans import delete_orphan

KINDS = ("orphan", "missing", "drift", "stuck")


class InventoryFindingOut(serializers.Serializer[Any]):
    """One difference between AWS and our rows that the last inventory saw."""

    id = serializers.CharField(source="public_id")
    kind = serializers.ChoiceField(choices=KINDS)
    tenant = serializers.CharField(source="tenant.public_id", default=None, allow_null=True, help_text="Null: shared.")
    owner = serializers.CharField(
        help_text="Whose it is: a tenant's name, `shared`, or, of an orphan, `unknown: tag says …`."
    )
    resource = serializers.CharField(
        source="resource.public_id",
        default=None,
        allow_null=True,
        help_text="Our row; of an orphan once it was adopted or is deleted.",
    )
    account = serializers.CharField()
    region = serializers.CharField()
    aws_kind = serializers.CharField()
    name = serializers.CharField(help_text="Its name in AWS.")
    arn = serializers.CharField(allow_blank=True)
    tags = serializers.DictField(child=serializers.CharField())
    detail = serializers.CharField()
    what_to_do = serializers.CharField()
    before = serializers.DictField(help_text="What we wish; for drift.")
    after = serializers.DictField(help_text="What AWS has; for drift.")
    usd_per_hour = serializers.DecimalField(
        max_digits=12, decimal_places=4, allow_null=True, help_text="Of an orphan; null: the price is not known."
    )
    first_seen_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField()
    sightings = serializers.IntegerField()
    is_confirmed = serializers.BooleanField(help_text="An orphan counts after two sightings with time between them.")
    is_wrong = serializers.BooleanField(help_text="Somebody should do something: confirmed and not ignored.")
    ignored_reason = serializers.CharField(allow_blank=True)
    ignored_by = serializers.CharField(allow_blank=True)
    available_actions = serializers.SerializerMethodField()

    def get_available_actions(self, finding: Any) -> list[str]:
        """What the caller may do about it now."""
        possible = dict.fromkeys(finding.available_actions, True)
        return actions_open_to(self.context["principal"], dict.fromkeys(possible, "operations.retry"), possible)


class DeletionIn(ReasonIn):
    """Why it is deleted, and its name once more."""

    name = Text(max_length=63, help_text="Its name in AWS again, so that a mistaken id deletes nothing.")


class InventoryQuery(PageQuery):
    """Filters of the list."""

    kind = serializers.ChoiceField(choices=KINDS, required=False)


class InventoryList(ApiView):
    """All findings."""

    @endpoint("list_inventory", scope="operations.view", query=InventoryQuery, reply=InventoryFindingOut, many=True)
    def get(self, request: Request) -> Response:
        """List how AWS differs from what we wish, newest finding first."""
        return self.page(queries.findings(self.visible_tenants, kind=self.query.get("kind")), InventoryFindingOut)


class FindingView(ApiView):
    """What can be done about one finding."""

    def find(self, ref: str) -> Any:
        """The finding as the caller sees it, resolved ones included. Raises NotFound."""
        return queries.finding(ref, tenant_ids=self.visible_tenants)

    def changed(self, ref: str, *, status: int = 200) -> Response:
        """The finding after it."""
        return self.reply(InventoryFindingOut, self.find(ref), status=status)


class FindingDetail(FindingView):
    """One finding."""

    @endpoint("get_inventory_finding", scope="operations.view", reply=InventoryFindingOut)
    def get(self, request: Request, finding: str) -> Response:
        """Read a finding, also one that the last inventory did not see any more."""
        return self.changed(finding)


class FindingAdoption(FindingView):
    """Giving an orphan to a wish."""

    @endpoint(
        "adopt_orphan",
        scope="operations.retry",
        body=ReasonIn,
        reply=InventoryFindingOut,
        status=202,
        request_example={"reason": "The database was restored from yesterday's backup."},
    )
    def post(self, request: Request, finding: str) -> Response:
        """Adopt an orphan: the one wish for exactly it, which has no object yet, becomes it.

        AWS is asked to change nothing. Only what was seen twice and carries all of this installation's tags is adopted.
        """
        adopt_orphan(finding_id=self.find(finding).pk, reason=self.body["reason"], actor=self.actor)
        return self.changed(finding, status=202)


class FindingDeletion(FindingView):
    """Having an orphan deleted."""

    @endpoint(
        "delete_orphan",
        scope="operations.retry",
        body=DeletionIn,
        reply=InventoryFindingOut,
        status=202,
        request_example={"name": "local-endpoint-acme-0a1b2c3d-1", "reason": "Left by a test."},
    )
    def post(self, request: Request, finding: str) -> Response:
        """Delete an orphan and the orphans that run on it; the reconciler reads the tags once more before it does."""
        found = self.find(finding)
        if self.body["name"] != found.name:
            error = FieldError("/name", "another_name", f"This is not {found.name}.")
            raise Invalid(error.detail, errors=[error])
        delete_orphan(finding_id=found.pk, reason=self.body["reason"], actor=self.actor)
        return self.changed(finding, status=202)


class FindingIgnoring(FindingView):
    """Leaving something alone."""

    @endpoint(
        "ignore_finding",
        scope="operations.retry",
        body=ReasonIn,
        reply=InventoryFindingOut,
        request_example={"reason": "The load test uses it until Friday."},
    )
    def post(self, request: Request, finding: str) -> Response:
        """Ignore a finding: it stays as it is, and makes no inventory fail until it has disappeared and comes back."""
        ignore_finding(finding_id=self.find(finding).pk, reason=self.body["reason"], actor=self.actor)
        return self.changed(finding)


class FindingUnignoring(FindingView):
    """Looking after it again."""

    @endpoint("unignore_finding", scope="operations.retry", reply=InventoryFindingOut)
    def post(self, request: Request, finding: str) -> Response:
        """Look after a finding again that was ignored."""
        unignore_finding(finding_id=self.find(finding).pk, actor=self.actor)
        return self.changed(finding)
