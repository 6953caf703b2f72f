"""Changing one tenant's tier or many tenants', each after a dry run; and how far a bulk operation is."""

from collections.abc import Collection
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.queries.tier_versions import list_tier_versions
from billing.services import tier_changes
from core.errors import DomainError, NotFound
from dashboard.access import OperatorRequest, requires
from dashboard.forms import OptionalReasonForm
from dashboard.paging import page_of
from dashboard.polling import poll_ms
from dashboard.reading import posted, text_of
from dashboard.rendering import done, render_page_or_fragment
from provisioning import outcomes
from provisioning.services.bulk import MOST_TENANTS, retry_failed
from tenants.queries import get_tenant, tenants_on_tier

BULK_KINDS = (("change_tier", "Change tier"), ("suspend", "Suspend"), ("resume", "Resume"))
BEGIN = "begin"
OUTCOMES = ("change", "skip", "blocked")
SHOWN_ITEMS = 500


@requires("tenants.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def change(request: OperatorRequest, ref: str) -> HttpResponse:
    """Choose a tier version, see what it makes, removes and costs, then begin.

    The dry run asks AWS, so it is posted like the deed; a link only chooses.
    """
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    versions = _published()
    chosen = _chosen(versions, text_of(request, "to") or str(request.POST.get("to", ""))[:40])
    begins = request.POST.get("do") == BEGIN
    form, status = OptionalReasonForm(posted(request) if begins else None), 200
    if begins and chosen is not None and form.is_valid():
        try:
            operation = tier_changes.change_tier(
                tenant_id=tenant.pk,
                tier_version_id=chosen.pk,
                reason=form.cleaned_data["reason"],
                actor=request.actor,
            )
        except DomainError as error:
            form.refuse(error)
            status = error.status
        else:
            return done(request, f"{tenant.name} is on its way to {chosen}.", "operation-detail", operation.public_id)
    proposal = None
    if chosen is not None and request.method == "POST":
        proposal = tier_changes.propose_tier_change(tenant_id=tenant.pk, tier_version_id=chosen.pk)
    context = {
        "tenant": tenant,
        "versions": versions,
        "chosen": chosen,
        "proposal": proposal,
        "form": form,
        "crumbs": [("Tenants", reverse("tenant-list")), (tenant.name, reverse("tenant-detail", args=[tenant.slug]))],
    }
    return render(request, "dashboard/tenants/change_tier.html", context, status=status)


@requires("operations.view")
@require_safe
def bulk_listing(request: OperatorRequest) -> HttpResponse:
    """Bulk operations, newest first."""
    page = page_of(request, outcomes.bulk_operations(tenant_ids=request.visible_tenants))
    context = {"rows": page.rows, "next_cursor": page.next_cursor}
    return render(request, "dashboard/operations/bulk_list.html", context)


@requires("tenants.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def bulk_plan(request: OperatorRequest) -> HttpResponse:
    """The dry run for the tenants that were chosen, tenant by tenant, then one confirmation."""
    asked = request.POST if request.method == "POST" else request.GET
    kind = str(asked.get("kind")) if asked.get("kind") in dict(BULK_KINDS) else "change_tier"
    versions = _published()
    chosen = _chosen(versions, str(asked.get("to", ""))[:40]) if kind == "change_tier" else None
    tenant_ids = _tenants(request, asked.getlist("tenant"), str(asked.get("on_tier", "")).replace("\0", "")[:30])
    begins = request.POST.get("do") == BEGIN
    form, status, planned = OptionalReasonForm(posted(request) if begins else None), 200, []
    wanted: dict[str, Any] = {"kind": kind, "tenant_ids": tenant_ids, "tier_version_id": chosen.pk if chosen else None}
    is_asked = request.method == "POST" and bool(tenant_ids) and (kind != "change_tier" or chosen is not None)
    try:
        if begins and form.is_valid():
            bulk = tier_changes.start_bulk(**wanted, reason=form.cleaned_data["reason"], actor=request.actor)
            return done(request, f"Begun for {len(tenant_ids)} tenants.", "bulk-detail", bulk.public_id)
        planned = tier_changes.propose_bulk(**wanted) if is_asked else []
    except DomainError as error:
        form.refuse(error)
        status = error.status
    context = {
        "kind": kind,
        "kinds": BULK_KINDS,
        "versions": versions,
        "chosen": chosen,
        "planned": planned,
        "counts": [(outcome, sum(each.item.outcome == outcome for each in planned)) for outcome in OUTCOMES],
        "tenant_refs": [each.tenant.public_id for each in planned] or asked.getlist("tenant")[:MOST_TENANTS],
        "form": form,
        "crumbs": [("Tenants", reverse("tenant-list"))],
    }
    return render(request, "dashboard/operations/bulk_plan.html", context, status=status)


@requires("operations.view")
@require_safe
def bulk_detail(request: OperatorRequest, ref: str) -> HttpResponse:
    """How far it is, and what became of each tenant; polls until all have their outcome."""
    bulk = outcomes.bulk_operation(ref, tenant_ids=request.visible_tenants)
    is_settled = bulk.finished_at is not None
    context = {
        "bulk": bulk,
        "items": outcomes.bulk_items(bulk.pk)[:SHOWN_ITEMS],
        "poll": poll_ms(since=bulk.started_at, is_settled=is_settled),
        "crumbs": [("Operations", reverse("operation-list")), ("Bulk", reverse("bulk-list"))],
    }
    return render_page_or_fragment(
        request, "dashboard/operations/bulk_detail.html", "dashboard/operations/_bulk.html", context
    )


@requires("tenants.manage")
@require_POST
def bulk_retry(request: OperatorRequest, ref: str) -> HttpResponse:
    """Try again those that failed, and only those."""
    bulk = outcomes.bulk_operation(ref, tenant_ids=request.visible_tenants)
    retry_failed(bulk_id=bulk.pk, actor=request.actor)
    return done(request, "Trying again those that failed.", "bulk-detail", ref)


def _published() -> list[Any]:
    """The versions that tenants can be placed on, by tier, newest first."""
    versions = list_tier_versions(tenant_ids=None).filter(published_at__isnull=False)
    return sorted(versions, key=lambda version: (version.tier.position, -version.number))


def _chosen(versions: list[Any], ref: str) -> Any | None:
    found = next((each for each in versions if each.public_id == ref), None)
    if ref and found is None:
        raise NotFound(f"There is no published tier version {ref}.")
    return found


def _tenants(request: OperatorRequest, refs: Collection[str], tier: str) -> list[int]:
    """The tenants that were ticked, or everybody on a tier. Raises NotFound."""
    if tier:
        on_tier = tenants_on_tier(tier, tenant_ids=request.visible_tenants)
        return list(on_tier.values_list("pk", flat=True)[: MOST_TENANTS + 1])
    clean = [ref.replace("\0", "")[:110] for ref in list(refs)[: MOST_TENANTS + 1]]
    return sorted({get_tenant(ref, tenant_ids=request.visible_tenants).pk for ref in clean})
