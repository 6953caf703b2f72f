"""Tiers and their versions: what they promise, who is on which, and a new version from an old one."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from billing.queries.tier_versions import difference, get_tier_version, list_tier_versions
from billing.services.tier_versions import create_tier_version, publish_tier_version
from core.errors import DomainError
from dashboard.access import OperatorRequest, requires
from dashboard.confirming import Question, ask_then_do
from dashboard.forms import PlainForm
from dashboard.reading import posted
from dashboard.rendering import done
from dashboard.tier_forms import TierVersionForm


@requires("tenants.view")
@require_safe
def listing(request: OperatorRequest) -> HttpResponse:
    """Every version of every tier with how it differs from the one before, and how many tenants are on it."""
    versions = list(list_tier_versions(tenant_ids=request.visible_tenants))
    return render(request, "dashboard/tenants/tiers.html", {"tiers": _by_tier(versions)})


@requires("tenants.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def create(request: OperatorRequest, ref: str) -> HttpResponse:
    """A new version, beginning with what an old one promises."""
    before = get_tier_version(ref, tenant_ids=request.visible_tenants)
    form, status = TierVersionForm(posted(request), before=before), 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                made = create_tier_version(tier_key=before.tier.key, **form.wanted(), actor=request.actor)
            except DomainError as error:
                form.refuse(error)
                status = error.status
            else:
                return done(request, f"{made} is drafted; publish it when it is right.", "tier-list")
    context = {
        "form": form,
        "before": before,
        "crumbs": [("Tenants", reverse("tenant-list")), ("Tiers", reverse("tier-list"))],
    }
    return render(request, "dashboard/tenants/tier_version.html", context, status=status)


@requires("tenants.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def publish(request: OperatorRequest, ref: str) -> HttpResponse:
    """Close a version to change."""
    version = get_tier_version(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"Publish {version}",
        verb=f"Publish {version}",
        plan=[
            "From now on newcomers are placed on it.",
            "It can never be changed; another promise is another version.",
            "Tenants on older versions stay there until somebody migrates them.",
        ],
        back_url=reverse("tier-list"),
    )
    return ask_then_do(
        request,
        question,
        PlainForm(posted(request)),
        lambda _: publish_tier_version(tier_version_id=version.pk, actor=request.actor),
        message=f"{version} is published.",
    )


def _by_tier(versions: list[Any]) -> list[dict[str, Any]]:
    tiers: dict[int, list[Any]] = {}
    for version in sorted(versions, key=lambda each: (each.tier.position, each.tier_id, -each.number)):
        tiers.setdefault(version.tier_id, []).append(version)
    return [
        {
            "tier": found[0].tier,
            "newest": next((each for each in found if each.published_at), None),
            "older_tenants": sum(each.tenant_count for each in found[1:]),
            "versions": [
                {"version": each, "differs": difference(found[place + 1], each) if place + 1 < len(found) else []}
                for place, each in enumerate(found)
            ],
        }
        for found in tiers.values()
    ]
