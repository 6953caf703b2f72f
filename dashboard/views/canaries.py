"""A release in steps: how it stands, and pausing it, going on, going back."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from core import clock
from dashboard.access import OperatorRequest, requires
from dashboard.confirming import Question, ask_then_do
from dashboard.forms import ReasonForm
from dashboard.reading import posted
from dashboard.release_forms import GoOnForm
from models_registry import queries
from models_registry.services import canaries
from provisioning.typical import spoken


@dataclass(frozen=True, slots=True)
class Share:
    """One version's row in the table: its share, and what the last look saw of it."""

    version: Any
    percent: int
    seen: dict[str, Any]

    @property
    def error_percent(self) -> float | None:
        """Of its requests; None before a look saw any."""
        return round(100 * self.seen["error_share"], 1) if self.seen.get("requests") else None


@dataclass(frozen=True, slots=True)
class CanaryCard:
    """What the adapter's page shows of a release in steps."""

    canary: Any
    release: Any
    shares: list[Share]
    steps: list[tuple[int, str]]
    baked_percent: int
    says: str
    limits: str


def card_of(release: Any, live: Any) -> CanaryCard | None:
    """The card of a pending release; None when it has no plan, or nothing to share with."""
    canary = getattr(release, "canary", None) if release is not None else None
    if canary is None or live is None or release.version_id == live.pk:
        return None
    seen = canary.seen if canary.seen.get("percent") == canary.percent else {}
    percent = canary.percent if canary.step_since else 0
    places = [
        (step, "done" if at < canary.step else "now" if at == canary.step else "next")
        for at, step in enumerate([*canary.steps, 100])
    ]
    return CanaryCard(
        canary=canary,
        release=release,
        shares=[
            Share(release.version, percent, seen.get("new", {})),
            Share(live, 100 - percent, seen.get("old", {})),
        ],
        steps=places,
        baked_percent=_baked_percent(canary),
        says=_sentence(canary, seen),
        limits=(
            f"Rolled back when more than {float(100 * canary.max_error_share):g} % fail or slow answers (p90) take "
            f"more than {float(canary.max_latency_ratio):g} times as long; below {canary.min_requests} requests to "
            "each nothing is concluded."
        ),
    )


@requires("adapters.release")
@require_http_methods(["GET", "HEAD", "POST"])
def pause(request: OperatorRequest, ref: str) -> HttpResponse:
    """Keep the share as it is."""
    release = queries.get_release(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"Pause {_named(release)}",
        verb="Pause",
        plan=["Both versions keep their shares until somebody goes on.", "The alarms go on watching."],
        back_url=_back(release),
    )
    return ask_then_do(
        request,
        question,
        ReasonForm(posted(request)),
        lambda typed: canaries.pause_canary(release_id=release.pk, reason=typed["reason"], actor=request.actor),
        message="It is paused.",
    )


@requires("adapters.release")
@require_http_methods(["GET", "HEAD", "POST"])
def go_on(request: OperatorRequest, ref: str) -> HttpResponse:
    """End the pause, or take the next step now."""
    release = queries.get_release(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"Go on with {_named(release)}",
        verb="Go on",
        plan=["A paused step begins its time anew.", "After the last step the new version gets every request."],
        back_url=_back(release),
    )
    return ask_then_do(
        request,
        question,
        GoOnForm(posted(request)),
        lambda typed: canaries.go_on(
            release_id=release.pk, skip_bake=typed["skip_bake"], reason=typed["reason"], actor=request.actor
        ),
        message="It goes on.",
    )


@requires("adapters.release")
@require_http_methods(["GET", "HEAD", "POST"])
def abort(request: OperatorRequest, ref: str) -> HttpResponse:
    """Give every request back to what serves beside it."""
    release = queries.get_release(ref, tenant_ids=request.visible_tenants)
    live = release.adapter.live_version
    question = Question(
        heading=f"Abort {_named(release)}",
        verb="Abort",
        plan=[
            f"{live or 'Nothing'} answers every request again, within seconds.",
            "The release ends as refused, with what was seen so far; the version can be released again.",
        ],
        back_url=_back(release),
        is_risk=True,
    )
    return ask_then_do(
        request,
        question,
        ReasonForm(posted(request)),
        lambda typed: canaries.abort_canary(release_id=release.pk, reason=typed["reason"], actor=request.actor),
        message="It was aborted.",
    )


def _named(release: Any) -> str:
    return f"the release of {release.adapter.name} {release.version or ''}".rstrip()


def _back(release: Any) -> str:
    return reverse("adapter-detail", args=[release.adapter.public_id])


def _baked_percent(canary: Any) -> int:
    if canary.step_since is None:
        return 0
    passed = (clock.now() - canary.step_since) / timedelta(minutes=canary.bake_minutes)
    return round(100 * min(max(passed, 0.0), 1.0))


def _sentence(canary: Any, seen: dict[str, Any]) -> str:
    """How it stands, for people."""
    if canary.step_since is None:
        return "The data plane is being told of the share."
    if canary.paused_at is not None:
        return f"Paused by {canary.paused_by}. The alarms go on watching."
    left = (canary.step_since + timedelta(minutes=canary.bake_minutes) - clock.now()).total_seconds()
    if left > 0:
        return f"The step lasts {spoken(left)} more."
    return f"The step's time is over. {seen.get('detail', 'It is looked at within a minute.')}"
