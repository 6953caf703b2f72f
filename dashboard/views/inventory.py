"""What inventories of AWS found that should not be so, with what to do about it."""

from dataclasses import dataclass
from typing import Any

from django.db.models import F
from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from dashboard.access import OperatorRequest, requires
from dashboard.confirming import Question, ask_then_do
from dashboard.forms import PlainForm, ReasonForm, TypedReasonForm
from dashboard.reading import posted
from dashboard.rendering import render_page_or_fragment
from provisioning import queries
from provisioning.services.adopting import adopt_orphan
from provisioning.services.findings import ignore_finding, unignore_finding
from provisioning.services.orphans import delete_orphan

MOST_OF_A_KIND = 100
KINDS = {
    "orphan": ("Orphans", "They exist in AWS under our tags and no row of ours knows them. The dearest come first."),
    "missing": ("Missing", "Our rows say that they serve, and AWS does not have them."),
    "drift": ("Drift", "They are set otherwise in AWS than we wish."),
    "stuck": ("Stuck", "They wait for a quota, for capacity or for a person."),
}


@dataclass(frozen=True, slots=True)
class Group:
    """The findings of one kind, up to `MOST_OF_A_KIND` of `total`."""

    title: str
    about: str
    rows: list[tuple[Any, str]]
    total: int


@requires("operations.view")
@require_safe
def listing(request: OperatorRequest) -> HttpResponse:
    """Orphans by what they cost, then what is missing, drifted and stuck."""
    groups = [_group(request, kind) for kind in KINDS]
    context = {
        "groups": [group for group in groups if group.total],
        "look": queries.last_inventory(),
        "wrong": sum(finding.is_wrong for group in groups for finding, _ in group.rows),
    }
    return render_page_or_fragment(
        request, "dashboard/operations/inventory.html", "dashboard/operations/_inventory.html", context
    )


@requires("operations.retry")
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: OperatorRequest, ref: str) -> HttpResponse:
    """Have the reconciler delete an orphan and what runs on it; its name has to be typed."""
    finding = queries.finding(ref, tenant_ids=request.visible_tenants)
    *above, _ = reversed(queries.orphans_with(finding))
    price = f" AWS charges ${finding.usd_per_hour.normalize():f} an hour for it." if finding.usd_per_hour else ""
    question = Question(
        heading=f"Delete {finding.name}",
        verb="Delete it in AWS",
        plan=[
            f"{finding.aws_kind.replace('_', ' ').capitalize()} in {finding.region}, account {finding.account}.{price}",
            *[f"First {each.name}, which runs on it, is deleted." for each in above],
            "It is deleted once AWS confirms its tags again and nothing runs on it. This cannot be undone.",
        ],
        back_url=reverse("inventory"),
        is_risk=True,
    )
    return ask_then_do(
        request,
        question,
        TypedReasonForm(posted(request), expected=finding.name),
        lambda typed: delete_orphan(finding_id=finding.pk, reason=typed["reason"], actor=request.actor),
        message=f"The deletion of {finding.name} is ordered.",
    )


@requires("operations.retry")
@require_http_methods(["GET", "HEAD", "POST"])
def adopt(request: OperatorRequest, ref: str) -> HttpResponse:
    """Give an orphan to the wish that asks for exactly it."""
    finding = queries.finding(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"Adopt {finding.name}",
        verb="Adopt it",
        plan=[
            "The one thing that is wished for with its owner, place and digest, and that has no object, becomes it.",
            "AWS is asked to change nothing. It serves and is counted from the next look on.",
        ],
        back_url=reverse("inventory"),
    )
    return ask_then_do(
        request,
        question,
        ReasonForm(posted(request)),
        lambda typed: adopt_orphan(finding_id=finding.pk, reason=typed["reason"], actor=request.actor),
        message=f"{finding.name} is adopted.",
    )


@requires("operations.retry")
@require_http_methods(["GET", "HEAD", "POST"])
def ignore(request: OperatorRequest, ref: str) -> HttpResponse:
    """Leave something alone, with the reason."""
    finding = queries.finding(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"Ignore {finding.name}",
        verb="Ignore it",
        plan=[
            "It stays in AWS as it is, and on this page with your reason.",
            "It makes no inventory fail any more until it has disappeared and comes back.",
        ],
        back_url=reverse("inventory"),
    )
    return ask_then_do(
        request,
        question,
        ReasonForm(posted(request)),
        lambda typed: ignore_finding(finding_id=finding.pk, reason=typed["reason"], actor=request.actor),
        message=f"{finding.name} is ignored.",
    )


@requires("operations.retry")
@require_http_methods(["GET", "HEAD", "POST"])
def unignore(request: OperatorRequest, ref: str) -> HttpResponse:
    """Take back that something is left alone."""
    finding = queries.finding(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"Look after {finding.name} again",
        verb="Look after it again",
        plan=["It counts again until it is put right."],
        back_url=reverse("inventory"),
    )
    return ask_then_do(
        request,
        question,
        PlainForm(posted(request)),
        lambda typed: unignore_finding(finding_id=finding.pk, actor=request.actor),
        message=f"{finding.name} counts again.",
    )


def _group(request: OperatorRequest, kind: str) -> Group:
    found = queries.findings(request.visible_tenants, kind=kind)
    rows = found.order_by(F("usd_per_hour").desc(nulls_last=True), "-pk")[:MOST_OF_A_KIND]
    return Group(*KINDS[kind], rows=[(finding, _state(finding)) for finding in rows], total=found.count())


def _state(finding: Any) -> str:
    if finding.is_being_deleted:
        return "deleting"
    if finding.is_adopted:
        return "adopted"
    if finding.ignored_reason:
        return "ignored"
    return "wrong" if finding.is_wrong else "new"
