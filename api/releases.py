"""/releases, and what adapters do with them: release, roll back, withdraw, what served when."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.adapters import VersionRefOut
from api.bodies import Body, PageQuery, Query, Text
from api.canaries import CanaryOut, GoOnIn, ReleaseIn, SharedOut, plan_of
from api.endpoint import ApiView, endpoint
from api.idempotency import KeyRule
from api.tenants import ReasonIn
from core.errors import NotFound
from models_registry import queries
from models_registry.services import canaries, releases
from models_registry.states import ReleaseState


class RefusalOut(serializers.Serializer[Any]):
    """Why a release was not made live."""

    code = serializers.CharField()
    detail = serializers.CharField()
    evidence = serializers.JSONField()


class ReleaseOut(serializers.Serializer[Any]):
    """The decision that a version should serve; it is live once the data plane has been told."""

    id = serializers.CharField(source="public_id")
    adapter = serializers.CharField(source="adapter.public_id")
    version = VersionRefOut(allow_null=True, help_text="Null for a withdrawal.")
    kind = serializers.ChoiceField(choices=["release", "roll_back", "withdraw"])
    sequence = serializers.IntegerField()
    state = serializers.ChoiceField(choices=ReleaseState.choices)
    refusal = serializers.SerializerMethodField()
    reason = serializers.CharField(allow_blank=True)
    requested_by = serializers.CharField()
    requested_at = serializers.DateTimeField()
    live_at = serializers.DateTimeField(allow_null=True)
    canary = serializers.SerializerMethodField()

    @extend_schema_field(CanaryOut(allow_null=True))
    def get_canary(self, release: Any) -> dict[str, Any] | None:
        """Its plan and progress; null unless it is a release in steps."""
        canary = getattr(release, "canary", None)
        return None if canary is None else dict(CanaryOut(canary).data)

    @extend_schema_field(RefusalOut(allow_null=True))
    def get_refusal(self, release: Any) -> dict[str, Any] | None:
        """Why it was refused; null unless it was."""
        if release.state != ReleaseState.REFUSED:
            return None
        return {"code": release.refusal_code, "detail": release.refusal_detail, "evidence": release.evidence}


class ServedOut(serializers.Serializer[Any]):
    """From when until when a version answered."""

    version = VersionRefOut()
    release = serializers.CharField(source="release.public_id")
    served_from = serializers.DateTimeField(source="during.lower")
    served_until = serializers.DateTimeField(source="during.upper", allow_null=True, help_text="Null: it still does.")


class ServedAtOut(serializers.Serializer[Any]):
    """Which version answered at an instant."""

    adapter = serializers.CharField()
    at = serializers.DateTimeField()
    served = ServedOut(allow_null=True, help_text="Null when none did.")
    canary = SharedOut(allow_null=True, help_text="Which version had a share of the requests beside it, if one did.")


class ServedAtQuery(Query):
    """The instant asked about."""

    at = serializers.DateTimeField(help_text="RFC 3339, with its offset.")


class RollBackIn(Body):
    """Where to roll back to, and why."""

    reason = Text(max_length=500)
    to_version = Text(
        max_length=40, allow_null=True, default=None, help_text="A version's id; absent for the one that served before."
    )


class Releasing(ApiView):
    """What every decision about an adapter answers with."""

    def found_done(self, subject: str) -> Response | None:
        """The release that a crashed attempt had decided, if it is of the adapter or version in the address."""
        release = queries.get_release(subject, tenant_ids=self.visible_tenants)
        version = release.version.public_id if release.version else None
        asked_for = self.kwargs.get("adapter") == release.adapter.public_id or (
            version is not None and self.kwargs.get("adapter_version") == version
        )
        return self.decided(release) if asked_for else None

    def decided(self, release: Any) -> Response:
        """The release, and where to follow it."""
        response = self.reply(ReleaseOut, release, status=202, location=f"/api/v1/releases/{release.public_id}")
        tenant = release.adapter.tenant.public_id
        response["Link"] = f'</api/v1/operations?tenant={tenant}>; rel="monitor"'
        return response


class VersionRelease(Releasing):
    """Releasing a version."""

    @endpoint(
        "release_version",
        scope="adapters.release",
        body=ReleaseIn,
        reply=ReleaseOut,
        status=202,
        idempotency=KeyRule.REQUIRED,
        fact="adapter.release_requested",
        request_example={
            "reason": "Evaluation passed on 2026-11-19.",
            "plan": {"steps": [10, 50], "bake_minutes": 30, "max_error_share": "0.05"},
        },
    )
    def post(self, request: Request, adapter_version: str) -> Response:
        """Release a version.

        It is loaded beside what serves now, proved, and then the route flips. Until `live_at` is set the version that
        served before goes on. With a plan the version gets its shares of the requests first, each for its bake time,
        and is rolled back by itself when too many fail or answers take too long.
        """
        version = queries.get_version(adapter_version, tenant_ids=self.visible_tenants)
        made = releases.release_version(
            version_id=version.pk, reason=self.body["reason"], plan=plan_of(self.body), actor=self.actor
        )
        return self.decided(made)


class AdapterRollBack(Releasing):
    """Going back to an earlier version."""

    @endpoint(
        "roll_back_adapter",
        scope="adapters.release",
        body=RollBackIn,
        reply=ReleaseOut,
        status=202,
        idempotency=KeyRule.REQUIRED,
        fact="adapter.roll_back_requested",
        request_example={"reason": "Answers got worse since 14:00."},
    )
    def post(self, request: Request, adapter: str) -> Response:
        """Roll an adapter back to the version that served before, or to a named one."""
        found = queries.find_adapter(adapter, tenant_ids=self.visible_tenants)
        ref, to_version_id = self.body["to_version"], None
        if ref is not None:
            version = queries.get_version(ref, tenant_ids=self.visible_tenants)
            if version.adapter_id != found.pk:
                raise NotFound(f"{found.name} has no version {ref}.")
            to_version_id = version.pk
        made = releases.roll_back(
            adapter_id=found.pk, to_version_id=to_version_id, reason=self.body["reason"], actor=self.actor
        )
        return self.decided(made)


class AdapterWithdrawal(Releasing):
    """Serving nothing of an adapter any more."""

    @endpoint(
        "withdraw_adapter",
        scope="adapters.release",
        body=ReasonIn,
        reply=ReleaseOut,
        status=202,
        idempotency=KeyRule.REQUIRED,
        fact="adapter.withdraw_requested",
        request_example={"reason": "The product was discontinued."},
    )
    def post(self, request: Request, adapter: str) -> Response:
        """Withdraw an adapter: its route goes, its versions stay."""
        found = queries.find_adapter(adapter, tenant_ids=self.visible_tenants)
        made = releases.withdraw(adapter_id=found.pk, reason=self.body["reason"], actor=self.actor)
        return self.decided(made)


class ReleaseList(ApiView):
    """Every decision about an adapter."""

    @endpoint("list_releases", scope="adapters.view", query=PageQuery, reply=ReleaseOut, many=True)
    def get(self, request: Request, adapter: str) -> Response:
        """List an adapter's releases, newest first, refused ones too."""
        found = queries.find_adapter(adapter, tenant_ids=self.visible_tenants)
        return self.page(queries.list_releases(found.pk).select_related("adapter"), ReleaseOut)


class ReleaseDetail(ApiView):
    """One release."""

    @endpoint("get_release", scope="adapters.view", reply=ReleaseOut)
    def get(self, request: Request, release: str) -> Response:
        """Read a release."""
        return self.reply(ReleaseOut, queries.get_release(release, tenant_ids=self.visible_tenants))


class CanaryAction(ApiView):
    """What a person does to a release in steps."""

    def stands(self, public_id: str) -> Response:
        """The release as it is now."""
        return self.reply(ReleaseOut, queries.get_release(public_id, tenant_ids=self.visible_tenants))


class CanaryPause(CanaryAction):
    """Keeping a share."""

    @endpoint(
        "pause_release",
        scope="adapters.release",
        body=ReasonIn,
        reply=ReleaseOut,
        request_example={"reason": "Looking at its answers first."},
    )
    def post(self, request: Request, release: str) -> Response:
        """Keep a release in steps at its share until somebody goes on; its alarms watch on."""
        found = queries.get_release(release, tenant_ids=self.visible_tenants)
        canaries.pause_canary(release_id=found.pk, reason=self.body["reason"], actor=self.actor)
        return self.stands(release)


class CanaryGoOn(CanaryAction):
    """Going on."""

    @endpoint(
        "continue_release",
        scope="adapters.release",
        body=GoOnIn,
        reply=ReleaseOut,
        request_example={"reason": "Too few requests to judge by.", "skip_bake": True},
    )
    def post(self, request: Request, release: str) -> Response:
        """Go on with a release in steps: end its pause, or take the next share now."""
        found = queries.get_release(release, tenant_ids=self.visible_tenants)
        told = {"skip_bake": self.body["skip_bake"], "reason": self.body["reason"]}
        canaries.go_on(release_id=found.pk, **told, actor=self.actor)
        return self.stands(release)


class CanaryAbort(CanaryAction):
    """Going back."""

    @endpoint(
        "abort_release",
        scope="adapters.release",
        body=ReasonIn,
        reply=ReleaseOut,
        request_example={"reason": "The tone is wrong."},
    )
    def post(self, request: Request, release: str) -> Response:
        """Abort a release in steps: what serves beside it gets every request again."""
        found = queries.get_release(release, tenant_ids=self.visible_tenants)
        canaries.abort_canary(release_id=found.pk, reason=self.body["reason"], actor=self.actor)
        return self.stands(release)


class AdapterShares(ApiView):
    """Which version had which share, when."""

    @endpoint("list_adapter_shares", scope="adapters.view", query=PageQuery, reply=SharedOut, many=True)
    def get(self, request: Request, adapter: str) -> Response:
        """List which version had which share of the requests beside the live one, newest first."""
        found = queries.get_adapter(adapter, tenant_ids=self.visible_tenants)
        return self.page(queries.canary_timeline(found.pk), SharedOut)


class AdapterTimeline(ApiView):
    """What served from when until when."""

    @endpoint("get_adapter_timeline", scope="adapters.view", query=PageQuery, reply=ServedOut, many=True)
    def get(self, request: Request, adapter: str) -> Response:
        """List what served from when until when, newest first."""
        found = queries.find_adapter(adapter, tenant_ids=self.visible_tenants)
        return self.page(queries.timeline(found.pk), ServedOut)


class AdapterServedAt(ApiView):
    """What served at an instant."""

    @endpoint("get_served_at", scope="adapters.view", query=ServedAtQuery, reply=ServedAtOut)
    def get(self, request: Request, adapter: str) -> Response:
        """Read which version answered at an instant."""
        found = queries.find_adapter(adapter, tenant_ids=self.visible_tenants)
        at = self.query["at"]
        served, canary = queries.served_at(found.pk, at), queries.canary_at(found.pk, at)
        return self.reply(ServedAtOut, {"adapter": found.public_id, "at": at, "served": served, "canary": canary})
