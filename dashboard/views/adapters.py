"""Adapters: the list, one adapter with its versions and what served when, and deciding what serves."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from core import clock
from dashboard.access import OperatorRequest, requires
from dashboard.charts import Span, timeline
from dashboard.confirming import Question, ask_then_do
from dashboard.forms import NewAdapterForm, OptionalReasonForm, ReasonForm
from dashboard.paging import page_of
from dashboard.polling import poll_ms
from dashboard.preflight import memory_of_release
from dashboard.reading import posted, text_of
from dashboard.release_forms import ReleaseForm
from dashboard.rendering import render_page_or_fragment
from dashboard.views.canaries import card_of
from models_registry import queries
from models_registry.services import releases
from models_registry.services.adapters import archive_version, create_adapter
from models_registry.states import Approval, ReleaseState, VersionState
from provisioning.queries import resources_of
from provisioning.states import Phase
from provisioning.typical import spoken, typical_times
from tenants.queries import get_tenant

SPANS = 12
RELEASES = 20


@requires("adapters.view")
@require_safe
def listing(request: OperatorRequest) -> HttpResponse:
    """Adapters of every tenant, with what serves and what waits."""
    q, state, tag = text_of(request, "q"), text_of(request, "state"), text_of(request, "tag")
    found = queries.list_adapters(
        tenant_ids=request.visible_tenants,
        state=state if state in queries.ADAPTER_STATES else None,
        tag=tag or None,
        q=q or None,
    )
    page = page_of(request, found)
    context = {
        "adapters": page.rows,
        "checking": queries.adapters_being_checked(adapter.pk for adapter in page.rows),
        "next_cursor": page.next_cursor,
        "q": q,
        "state": state,
        "tag": tag,
    }
    return render_page_or_fragment(request, "dashboard/adapters/list.html", "dashboard/adapters/_table.html", context)


@requires("adapters.upload")
@require_http_methods(["GET", "HEAD", "POST"])
def create(request: OperatorRequest, ref: str) -> HttpResponse:
    """Open a line of versions for a tenant."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    bases = [(str(base.pk), str(base)) for base in queries.list_foundation_models()]
    question = Question(
        heading=f"Add an adapter for {tenant.name}",
        verb="Add adapter",
        plan=["The name is the route that the data plane asks for.", "The next step is to upload its first version."],
        back_url=reverse("tenant-detail", args=[tenant.slug]),
    )
    made: list[Any] = []

    def act(typed: dict[str, Any]) -> None:
        made.append(
            create_adapter(
                tenant_id=tenant.pk,
                name=typed["name"],
                foundation_model_id=int(typed["foundation_model"]),
                actor=request.actor,
            )
        )

    return ask_then_do(
        request,
        question,
        NewAdapterForm(posted(request), bases=bases),
        act,
        message="The adapter is there. Upload its first version.",
        done_url=lambda: reverse("adapter-upload", args=[made[0].public_id]),
    )


@requires("adapters.view")
@require_safe
def detail(request: OperatorRequest, ref: str) -> HttpResponse:
    """What serves, what served when, every version with its verdict; polls while something is on its way."""
    adapter = queries.get_adapter(ref, tenant_ids=request.visible_tenants)
    decisions = list(queries.list_releases(adapter.pk)[:RELEASES])
    pending = next((each for each in decisions if each.state == ReleaseState.PENDING), None)
    if pending is None:  # it may have gone live since the adapter was read, and nobody would look again
        adapter = queries.get_adapter(ref, tenant_ids=request.visible_tenants)
    versions = page_of(request, queries.list_versions(tenant_ids=request.visible_tenants, adapter_id=adapter.pk))
    undecided = [each for each in versions.rows if each.state in (VersionState.IMPORTING, VersionState.VALIDATING)]
    warm = _warm_versions(adapter)
    since = max([each.created_at for each in undecided] + ([pending.requested_at] if pending else []), default=None)
    context = {
        "adapter": adapter,
        "rows": [_row(version, adapter, pending, warm) for version in versions.rows],
        "next_cursor": versions.next_cursor,
        "pending": pending,
        "card": card_of(pending, adapter.live_version),
        "refused": decisions[0] if decisions and decisions[0].state == ReleaseState.REFUSED else None,
        "decisions": decisions,
        "previous": queries.previous_served(adapter.pk, adapter.live_version_id),
        "chart": _timeline_chart(adapter),
        "poll": poll_ms(since=since, is_settled=False) if since else None,
        "crumbs": [
            ("Adapters", reverse("adapter-list")),
            (adapter.tenant.name, reverse("tenant-detail", args=[adapter.tenant.slug])),
        ],
    }
    return render_page_or_fragment(
        request, "dashboard/adapters/detail.html", "dashboard/adapters/_status.html", context
    )


@requires("adapters.release")
@require_http_methods(["GET", "HEAD", "POST"])
def release(request: OperatorRequest, ref: str) -> HttpResponse:
    """Make a version serve."""
    version = queries.get_version(ref, tenant_ids=request.visible_tenants)
    adapter = queries.get_adapter(version.adapter.public_id, tenant_ids=request.visible_tenants)
    form = ReleaseForm(posted(request), has_live=adapter.live_version_id not in (None, version.pk))
    question = Question(
        heading=f"Release {adapter.name} {version}",
        verb=f"Release {version}",
        plan=[
            _change(adapter, version),
            f"{version} is set up beside what serves now; traffic moves only after a probe shows that it takes effect.",
            f"Affects {adapter.tenant.name} only.",
            *memory_of_release(adapter),
        ],
        back_url=reverse("adapter-detail", args=[adapter.public_id]),
    )
    return ask_then_do(
        request,
        question,
        form,
        lambda typed: releases.release_version(
            version_id=version.pk, reason=typed["reason"], plan=form.plan(), actor=request.actor
        ),
        message=f"{version} is going live.",
    )


@requires("adapters.release")
@require_http_methods(["GET", "HEAD", "POST"])
def roll_back(request: OperatorRequest, ref: str) -> HttpResponse:
    """Make an earlier version serve again: the one named by `to`, or the one that served before."""
    adapter = queries.get_adapter(ref, tenant_ids=request.visible_tenants)
    target = _target(request, adapter)
    is_warm = target is not None and target.pk in _warm_versions(adapter)
    name = str(target) if target else "the version before"
    question = Question(
        heading=f"Roll back {adapter.name} from {adapter.live_version or 'nothing'} to {name}",
        verb=f"Roll back to {name}",
        plan=[
            f"{name} is still warm in AWS: traffic moves as soon as the new routes are read, within seconds."
            if is_warm
            else f"{name} is no longer warm: it is set up again and proved first. {_how_long()}",
            "No endpoint restarts and no request is dropped.",
            f"Affects {adapter.tenant.name} only; the price does not change.",
        ],
        back_url=reverse("adapter-detail", args=[adapter.public_id]),
    )
    return ask_then_do(
        request,
        question,
        ReasonForm(posted(request)),
        lambda typed: releases.roll_back(
            adapter_id=adapter.pk,
            to_version_id=target.pk if target else None,
            reason=typed["reason"],
            actor=request.actor,
        ),
        message=f"Rolling back to {name}.",
    )


@requires("adapters.release")
@require_http_methods(["GET", "HEAD", "POST"])
def withdraw(request: OperatorRequest, ref: str) -> HttpResponse:
    """Make nothing of an adapter serve."""
    adapter = queries.get_adapter(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"Withdraw {adapter.name}",
        verb=f"Withdraw {adapter.name}",
        plan=[
            f"The route {adapter.name} disappears: requests for it are refused by the data plane.",
            "Its versions stay and can be released again.",
        ],
        back_url=reverse("adapter-detail", args=[adapter.public_id]),
        is_risk=True,
    )
    return ask_then_do(
        request,
        question,
        ReasonForm(posted(request)),
        lambda typed: releases.withdraw(adapter_id=adapter.pk, reason=typed["reason"], actor=request.actor),
        message=f"{adapter.name} is being withdrawn.",
    )


@requires("adapters.release")
@require_http_methods(["GET", "HEAD", "POST"])
def archive(request: OperatorRequest, ref: str) -> HttpResponse:
    """Put a version out of use."""
    version = queries.get_version(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"Archive {version.adapter.name} {version}",
        verb=f"Archive {version}",
        plan=["It can no longer be released until it is restored. What it served stays in the timeline."],
        back_url=reverse("adapter-detail", args=[version.adapter.public_id]),
    )
    return ask_then_do(
        request,
        question,
        OptionalReasonForm(posted(request)),
        lambda typed: archive_version(version_id=version.pk, reason=typed["reason"], actor=request.actor),
        message=f"{version} is archived.",
    )


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version in the table: what it is now, and what can be done with it."""

    version: Any
    is_live: bool
    is_pending: bool
    is_warm: bool
    can_release: bool
    can_roll_back: bool


def _row(version: Any, adapter: Any, pending: Any, warm: set[int]) -> VersionRow:
    is_live = version.pk == adapter.live_version_id
    is_pending = pending is not None and pending.version_id == version.pk
    is_allowed = version.approval in (Approval.APPROVED, Approval.NOT_REQUIRED)
    is_free = version.state == VersionState.READY and is_allowed and not is_live and not is_pending
    live = adapter.live_version
    is_earlier = live is not None and version.number is not None and version.number < live.number
    return VersionRow(
        version=version,
        is_live=is_live,
        is_pending=is_pending,
        is_warm=version.pk in warm and not is_live,
        can_release=is_free and not is_earlier,
        can_roll_back=is_free and is_earlier,
    )


def _warm_versions(adapter: Any) -> set[int]:
    """The versions of the adapter that stand ready in AWS."""
    standing = resources_of(tenant_ids=[adapter.tenant_id])
    return {
        each.adapter_version_id
        for each in standing
        if each.kind == "adapter_component" and each.phase == Phase.READY and each.is_wanted and each.adapter_version_id
    }


def _how_long() -> str:
    """How long a version takes from nothing to its first request, by what it took lately."""
    parts = typical_times()
    steps = [parts[kind] for kind in ("make adapter_component", "probe", "route") if kind in parts]
    if "make adapter_component" not in parts:
        return "How long that takes is not known here yet; AWS's own examples take about two minutes."
    usual, long = sum(step.p50_seconds for step in steps), sum(step.p95_seconds for step in steps)
    return f"That usually takes {spoken(usual)}, and seldom more than {spoken(long)}."


def _target(request: OperatorRequest, adapter: Any) -> Any | None:
    wanted = text_of(request, "to")
    if wanted:
        return queries.get_version(wanted, tenant_ids=[adapter.tenant_id])
    before = queries.previous_served(adapter.pk, adapter.live_version_id)
    return before.version if before else None


def _change(adapter: Any, version: Any) -> str:
    if adapter.live_version is None:
        return f"Nothing of {adapter.name} serves now; {version} becomes its first live version."
    return f"{adapter.live_version} serves now; {version} takes its place."


def _timeline_chart(adapter: Any) -> str:
    shown = list(queries.timeline(adapter.pk)[:SPANS])
    spans = [
        Span(
            label=f"v{interval.version.number}",
            since=interval.during.lower,
            until=interval.during.upper,
            note=interval.release.reason,
        )
        for interval in reversed(shown)
    ]
    return timeline(spans, now=clock.now(), title=f"What served {adapter.name}, from when until when")
