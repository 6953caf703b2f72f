"""What needs a person, and the counts beside the navigation, from every room at once.

An item says what is wrong, why, and where to go. A person sees only what their role lets them see.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q
from django.urls import reverse

from accounts.access import Principal, can
from billing.queries import list_invoices
from billing.states import InvoiceState
from core import clock
from dashboard.freshness import KnownGap, known_gaps
from dashboard.limit_facts import when_full
from events.webhooks.queries import disabled_by_themselves
from events.webhooks.states import DisabledReason
from models_registry.queries import list_versions, versions_for_people
from models_registry.services.retirement import REMINDED_AHEAD
from models_registry.states import VersionState
from provisioning.limit_queries import running_limit_alerts
from provisioning.line_queries import config_refusals
from provisioning.queries import findings, list_accounts, operations, stuck_resources
from provisioning.states import OperationState
from tenants.queries import list_tenants
from tenants.states import TenantState

MOST_OF_A_KIND, MOST_FINDINGS = 5, 100
NEARLY_FULL = 80
METER_WORDS = {"input_tokens": "input tokens", "output_tokens": "output tokens", "total_tokens": "tokens"}
RECENT_REFUSAL = timedelta(days=1)
STUCK = Q(steps__done_at=None) & ~Q(steps__resource__stuck_reason="") & Q(steps__resource__isnull=False)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that needs a person. `tone` is bad or warn; `verb` names the link."""

    tone: str
    title: str
    why: str
    url: str
    verb: str


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers beside the navigation; zero for what the person may not see."""

    failed_tenants: int
    running_operations: int
    stuck_operations: int
    drafts: int


def counts_for(principal: Principal) -> Counts:
    """The counts that this person may see."""
    seen = principal.tenant_ids
    failed = running = stuck = drafts = 0
    if can(principal, "tenants.view"):
        failed = list_tenants(tenant_ids=seen, state=TenantState.PROVISIONING_FAILED).count()
    if can(principal, "operations.view"):
        running = operations(seen, state=OperationState.RUNNING).count()
        stuck = _troubled(principal).count()
    if can(principal, "invoices.view"):
        drafts = list_invoices(tenant_ids=seen, state=InvoiceState.DRAFT).count()
    return Counts(failed, running, stuck, drafts)


def needs_attention(principal: Principal) -> list[Item]:
    """Everything that waits for a person, the most urgent first, a few of each kind."""
    items: list[Item] = []
    if can(principal, "operations.view"):
        items += _operations(principal)
        items += _shared(principal)
        items += _accounts(principal)
        items += _refused_routes(principal)
        items += _inventory(principal)
    if can(principal, "adapters.view"):
        items += _refused_uploads(principal)
        items += _versions(principal)
    if can(principal, "usage.view"):
        items += _limits(principal)
        items += [_gap(gap) for gap in known_gaps(principal.tenant_ids)[:MOST_OF_A_KIND]]
    if can(principal, "invoices.finalize"):
        items += _drafts(principal)
    if can(principal, "webhooks.manage"):
        items += _webhooks(principal)
    return sorted(items, key=lambda item: item.tone != "bad")


def _troubled(principal: Principal) -> Any:
    """Operations that failed, or that stand still because a resource is stuck."""
    found = operations(principal.tenant_ids)
    return found.filter(Q(state=OperationState.FAILED) | Q(state=OperationState.RUNNING) & STUCK).distinct()


def _operations(principal: Principal) -> Iterable[Item]:
    for operation in _troubled(principal)[:MOST_OF_A_KIND]:
        stuck = [row.resource for row in operation.steps.all() if row.state == "stuck"]
        why = stuck[0].detail or stuck[0].get_stuck_reason_display() if stuck else operation.detail
        verb = "is stuck" if operation.state == OperationState.RUNNING else "failed"
        url = reverse("operation-detail", args=[operation.public_id])
        yield Item("bad", f"{operation.title} {verb}", why, url, "Open")


def _shared(principal: Principal) -> Iterable[Item]:
    """Shared resources hold up every tenant of their line, and belong to no single operation."""
    if principal.tenant_ids is not None:
        return
    for resource in stuck_resources(None).filter(tenant=None)[:MOST_OF_A_KIND]:
        title = f"Shared {resource.get_kind_display().lower()} {resource.name} is stuck"
        url = f"{reverse('resource-list')}?stuck=yes"
        yield Item("bad", title, resource.detail or resource.get_stuck_reason_display(), url, "Open")


def _accounts(principal: Principal) -> Iterable[Item]:
    """Accounts whose role is gone: nothing is made or deleted there until somebody restores it."""
    lost = list_accounts(principal.tenant_ids).filter(access_lost_at__isnull=False)
    for account in lost[:MOST_OF_A_KIND]:
        whose = f" of {account.tenant.name}" if account.tenant else ""
        title = f"Access to account {account}{whose} is lost"
        yield Item("bad", title, account.access_detail, reverse("account-list"), "See what to do")


def _refused_routes(principal: Principal) -> Iterable[Item]:
    """Routes that break a rule: what was published before goes on answering, until somebody does something."""
    for refusal in config_refusals(principal.tenant_ids)[:MOST_OF_A_KIND]:
        why = f"{refusal.violations[0]['detail']} {refusal.what_to_do}"
        url = reverse("tenant-config", args=[refusal.tenant.slug])
        yield Item("bad", f"New routes of {refusal.tenant.name} were not published", why, url, "See what to do")


def _inventory(principal: Principal) -> Iterable[Item]:
    """What the last inventory found besides what is stuck, which has items of its own."""
    found = findings(principal.tenant_ids).filter(ignored_reason="").exclude(kind="stuck")
    wrong = [finding for finding in found[:MOST_FINDINGS] if finding.is_wrong and not finding.is_being_deleted]
    if wrong:
        dollars = sum((finding.usd_per_hour or Decimal(0) for finding in wrong), Decimal(0))
        cost = f" AWS charges ${dollars.normalize():f} an hour for them." if dollars else ""
        noun = "finding needs" if len(wrong) == 1 else "findings need"
        why = f"The first is {wrong[0].name}: {wrong[0].detail}{cost}"
        yield Item("warn", f"{len(wrong)} inventory {noun} somebody", why, reverse("inventory"), "Open the inventory")


def _refused_uploads(principal: Principal) -> Iterable[Item]:
    refused = list_versions(tenant_ids=principal.tenant_ids, state=VersionState.REJECTED)
    for version in refused.filter(created_at__gte=clock.now() - RECENT_REFUSAL)[:MOST_OF_A_KIND]:
        why = version.findings[0]["message"] if version.findings else ""
        title = f"Upload of {version.adapter.name} for {version.tenant.name} was refused"
        yield Item("warn", title, why, reverse("version-detail", args=[version.public_id]), "See the findings")


def _versions(principal: Principal) -> Iterable[Item]:
    """Versions that serve although their day has come, or comes soon; and those that cannot be released yet."""
    now = clock.now()
    waiting: Any = versions_for_people(tenant_ids=principal.tenant_ids, before=now + REMINDED_AHEAD)
    for version in waiting[: 2 * MOST_OF_A_KIND]:
        of_whom = f"{version.adapter.name} {version} of {version.tenant.name}"
        if version.is_retiring:
            day = version.retires_at or now
            verb = "should have retired on" if day <= now else "retires on"
            why = f"Release {version.replacement} instead." if version.replacement else "Release another version."
            url = reverse("adapter-detail", args=[version.adapter.public_id])
            yield Item(
                "bad" if day <= now else "warn", f"{of_whom} {verb} {day:%Y-%m-%d}", f"It serves. {why}", url, "Open"
            )
        elif can(principal, "adapters.approve"):
            why = f"Uploaded by {version.uploaded_by}; it cannot be released before."
            url = reverse("version-detail", args=[version.public_id])
            yield Item("warn", f"{of_whom} waits for approval", why, url, "Look at it")


def _limits(principal: Principal) -> Iterable[Item]:
    """Token limits that are nearly used up, while their day or month lasts."""
    alerts = [each for each in running_limit_alerts(principal.tenant_ids) if each.threshold_percent >= NEARLY_FULL]
    for alert in alerts[:MOST_OF_A_KIND]:
        is_full, refuses = alert.threshold_percent >= 100, alert.mode == "hard" and not alert.line
        share, what = f"{alert.threshold_percent} %", METER_WORDS[alert.meter]
        where, what_kind = (f" on {alert.line}", "allowance") if alert.line else ("", "limit")
        title = f"{alert.tenant.name} has used {share} of its {what} per {alert.window}{where}"
        until = f"{alert.window_end:%Y-%m-%d %H:%M} UTC"
        why = f"{alert.used:,} of {alert.amount:,}, until {until}; the {what_kind} {when_full(alert)}."
        url = reverse("tenant-detail", args=[alert.tenant.slug])
        yield Item("bad" if is_full and refuses else "warn", title, why, url, "Open")


def _gap(gap: KnownGap) -> Item:
    return Item("warn", gap.title, gap.why, reverse("usage"), "Open usage")


def _webhooks(principal: Principal) -> Iterable[Item]:
    for endpoint in disabled_by_themselves(tenant_ids=principal.tenant_ids)[:MOST_OF_A_KIND]:
        gone = endpoint.disabled_reason == DisabledReason.GONE
        why = "The receiver answered 410 Gone." if gone else "Nothing could be delivered for five days."
        url = reverse("webhook-detail", args=[endpoint.public_id])
        yield Item("warn", f"The webhook to {endpoint.url} was disabled", why, url, "Open")


def _drafts(principal: Principal) -> Iterable[Item]:
    count = list_invoices(tenant_ids=principal.tenant_ids, state=InvoiceState.DRAFT).count()
    if count:
        noun = "draft invoice waits" if count == 1 else "draft invoices wait"
        why = "They are finalized by themselves after the grace period, unless somebody does it earlier."
        yield Item("warn", f"{count} {noun} for review", why, f"{reverse('invoice-list')}?state=draft", "Review")
