"""/releases, and what adapters do with them: release, roll back, withdraw, what served when."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.adapters import VersionRefOut
from api.bodies import Body, PageQuery, Query, Text
from api.endpoint import ApiView, endpoint
from api.idempotency import KeyRule
from api.tenants import OptionalReasonIn, ReasonIn
from core.errors import NotFound
from models_registry import queries
from models_registry.services import releases
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
        body=OptionalReasonIn,
        reply=ReleaseOut,
        status=202,
        idempotency=KeyRule.REQUIRED,
        fact="adapter.release_requested",
        request_example={"reason": "Evaluation passed on 2026-11-19."},
    )
    def post(self, request: Request, adapter_version: str) -> Response:
        """Release a version.

        It is loaded beside what serves now, proved, and then the route flips. Until `live_at` is set the version that
        served before goes on.
        """
        version = queries.get_version(adapter_version, tenant_ids=self.visible_tenants)
        made = releases.release_version(version_id=version.pk, reason=self.body["reason"], actor=self.actor)
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
        served = queries.served_at(found.pk, at)
        return self.reply(ServedAtOut, {"adapter": found.public_id, "at": at, "served": served})
