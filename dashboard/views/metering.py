"""Metering health: how far usage is known, what is missing, what disagrees, and what somebody can decide about it."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from core import clock
from dashboard.access import OperatorRequest, requires
from dashboard.confirming import Question, ask_then_do
from dashboard.forms import PlainForm, ReasonForm
from dashboard.reading import posted, text_of
from dashboard.rendering import done, render_page_or_fragment
from dashboard.templatetags.formatting import number
from metering import queries
from metering.meters import EVENT_METERS, METERS
from metering.queries import health
from metering.services.backfill import Preview, preview_backfill, request_backfill
from metering.services.gaps import accept_gap
from metering.services.retention import retention
from metering.services.sources import SOURCE_NAMES, choose_source, set_tolerance
from tenants.queries import get_tenant, list_tenants

ROWS = 50
COMPARED = timedelta(days=14)
CHANGES_SHOWN = 200


class SourceForm(ReasonForm):
    """Which source counts from when on."""

    kind = forms.ChoiceField(label="Billed source", choices=[*SOURCE_NAMES.items()])
    starts_on = forms.DateField(
        label="From (UTC)",
        widget=forms.DateInput(attrs={"type": "date", "class": "form-control"}),
        help_text="Usage of that day and later. Sealed usage keeps its source.",
    )
    field_order = ("kind", "starts_on", "reason")


class AcceptForm(ReasonForm):
    """What is billed of a gap, and why."""

    bill = forms.ChoiceField(
        label="Bill", choices=[("known", "What is known"), ("estimate", "What is known, and the estimate")]
    )
    field_order = ("bill", "reason")


class ToleranceForm(PlainForm):
    """How far two sources of a meter may differ."""

    parts_per_million = forms.IntegerField(
        min_value=0, max_value=1_000_000, help_text="1,000 is a tenth of a percent of a day's larger sum."
    )


class BackfillForm(PlainForm):
    """Which hours to read again, of whom."""

    tenant = forms.CharField(max_length=60, required=False, help_text="A slug; empty means all, for up to one day.")
    start = forms.DateTimeField(label="From (UTC)", widget=forms.DateTimeInput(attrs={"type": "datetime-local"}))
    end = forms.DateTimeField(label="To (UTC)", widget=forms.DateTimeInput(attrs={"type": "datetime-local"}))


@requires("usage.view")
@require_safe
def overview(request: OperatorRequest) -> HttpResponse:
    """Alarms, scopes, gaps, differences and what is nobody's."""
    seen = request.visible_tenants
    today = datetime.combine(clock.now().date(), time(), tzinfo=UTC)
    rows = health.differences(tenant_ids=seen, start=today - COMPARED, end=today + timedelta(days=1), limit=ROWS)
    settings = health.source_settings()
    tolerance = {setting.meter: setting.tolerance_ppm for setting in settings}
    names = {each.pk: each for each in list_tenants(tenant_ids={row.tenant_id for row in rows})}
    context: dict[str, Any] = {
        "alarms": health.alarms(tenant_ids=seen)[:ROWS],
        "scopes": queries.freshness() if seen is None else [],
        "gaps": health.usage_gaps(tenant_ids=seen)[:ROWS],
        "differences": [
            (row, names[row.tenant_id], METERS[row.meter], row.parts_per_million > tolerance[row.meter]) for row in rows
        ],
        "sources": [(setting, METERS[setting.meter], SOURCE_NAMES[setting.kind]) for setting in settings],
        "unattributed": queries.unattributed()[:ROWS] if seen is None else [],
        "parked": queries.parked_points(tenant_ids=seen)[:ROWS],
        "retention": retention() if seen is None else None,
        "now": clock.now(),
    }
    return render_page_or_fragment(request, "dashboard/usage/health.html", "dashboard/usage/_health.html", context)


@requires("usage.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def accept(request: OperatorRequest, ref: str) -> HttpResponse:
    """Bill the hours of a gap as they are known, or with their estimate, with the reason."""
    gap = health.get_gap(ref, tenant_ids=request.visible_tenants)
    estimated = [
        f"The estimate is {number(each.quantity)} of {each.meter_title} on {each.line} in {each.hours} h: the same "
        f"hours from {each.basis_start:%Y-%m-%d %H:%M} to {each.basis_end:%Y-%m-%d %H:%M} UTC."
        for each in gap.estimates.all()
    ] or ["There is no estimate: no week before it is known, or nothing was used then."]
    question = Question(
        heading=f"Accept the gap of {gap.tenant.name}",
        verb="Accept the gap",
        plan=[
            f"{gap.starts_at:%Y-%m-%d %H:%M} to {gap.ends_at:%Y-%m-%d %H:%M} UTC is billed as you choose here.",
            *estimated,
            "Sealing and invoices no longer wait for it; your name and the reason are shown with the invoice.",
            "Should the hours be read later after all, the estimate is taken back, and the difference to what they "
            "hold becomes a credit or debit note.",
        ],
        back_url=reverse("metering-health"),
        is_risk=True,
    )
    return ask_then_do(
        request,
        question,
        AcceptForm(posted(request)),
        lambda typed: accept_gap(
            gap_id=gap.pk, reason=typed["reason"], actor=request.actor, bill_estimate=typed["bill"] == "estimate"
        ),
        message="The gap is accepted.",
    )


@requires("usage.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def source(request: OperatorRequest, meter: str) -> HttpResponse:
    """Choose which source of a meter is billed."""
    title = METERS[meter].title if meter in METERS else "Unknown meter"
    question = Question(
        heading=f"Billed source of {title}",
        verb="Choose this source",
        plan=[
            "What the other source says is kept and compared, and not billed.",
            "A tenant of whom the chosen source says nothing is billed nothing for this meter.",
        ],
        back_url=reverse("metering-health"),
        is_risk=True,
    )
    return ask_then_do(
        request,
        question,
        SourceForm(posted(request)),
        lambda typed: choose_source(
            meter=meter,
            kind=typed["kind"],
            starts_at=datetime.combine(typed["starts_on"], time(), tzinfo=UTC),
            reason=typed["reason"],
            actor=request.actor,
        ),
        message=f"The billed source of {title} is chosen.",
    )


@requires("usage.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def tolerance(request: OperatorRequest, meter: str) -> HttpResponse:
    """Set how far two sources may differ."""
    title = METERS[meter].title if meter in EVENT_METERS else "Unknown meter"
    question = Question(
        heading=f"Tolerance of {title}",
        verb="Set the tolerance",
        plan=["A settled day on which the two sources differ by more raises an alarm."],
        back_url=reverse("metering-health"),
    )
    return ask_then_do(
        request,
        question,
        ToleranceForm(posted(request)),
        lambda typed: set_tolerance(meter=meter, parts_per_million=typed["parts_per_million"], actor=request.actor),
        message=f"The tolerance of {title} is set.",
    )


@requires("usage.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def backfill(request: OperatorRequest) -> HttpResponse:
    """Show what reading hours again would change, and on the second button read them."""
    form = BackfillForm(posted(request) or (request.GET if text_of(request, "start") else None))
    preview: Preview | None = None
    status = 200
    if form.is_bound and form.is_valid():
        asked = form.cleaned_data
        ref = asked["tenant"].strip()
        tenant_id = get_tenant(ref, tenant_ids=request.visible_tenants).pk if ref else None
        span = {"start": asked["start"].replace(tzinfo=UTC), "end": asked["end"].replace(tzinfo=UTC)}
        if request.method == "POST":
            count = request_backfill(
                tenant_id=tenant_id, **span, reason=request.POST.get("reason", "")[:500], actor=request.actor
            )
            return done(request, f"{count} hours are read again.", "metering-health")
        preview = preview_backfill(tenant_id=tenant_id, **span)
    elif form.is_bound:
        status = 422
    changes = preview.changes[:CHANGES_SHOWN] if preview else []
    names = {each.pk: each for each in list_tenants(tenant_ids={change.tenant_id for change in changes})}
    context = {
        "form": form,
        "preview": preview,
        "totals": [(METERS[meter], *sums) for meter, sums in preview.totals().items()] if preview else [],
        "changes": [(change, names[change.tenant_id], METERS[change.meter]) for change in changes],
        "crumbs": [("Usage", reverse("usage")), ("Metering health", reverse("metering-health"))],
    }
    return render_page_or_fragment(
        request, "dashboard/usage/backfill.html", "dashboard/usage/_backfill.html", context, status=status
    )
