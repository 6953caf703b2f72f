"""A tenant that has one of everything, so that every address has something to show."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from billing.models import Invoice
from billing.services import credits, invoicing
from core import clock
from core.periods import floor_to_bucket
from metering.models import UsageGap
from metering.services.rollups import roll_up_hours
from models_registry.models import AdapterVersion
from models_registry.states import VersionState
from provisioning.planner.scenario import as_data
from provisioning.services.catalogue import API_LINES, define_api_line, route_tier
from provisioning.services.scenarios import save_scenario
from tenants.models import Tenant
from tenants.queries import tier_version_of
from tests.factories import TESTER
from tests.integration.api.making import (
    MAKERS,
    make_account,
    make_adapter,
    make_bulk,
    make_canary,
    make_certificate,
    make_config,
    make_export,
    make_finding,
    make_key,
    make_operation,
    make_release,
    make_upload,
    make_version,
    make_webhook,
    make_webhook_delivery,
)
from tests.integration.billing.conftest import seed_prices
from tests.support.billing_world import OCTOBER, World
from tests.unit.planner.making import scenario


@dataclass(frozen=True)
class Furnished:
    """The public ids of what was made, by the variables of `paths`."""

    tenant: Tenant
    adapter: str
    version: str
    live: str
    rejected: str
    release: str
    operation: str
    finding: str
    gap: str
    account: str
    draft: Invoice
    final: Invoice
    note: Invoice
    line: str
    card: str
    export: str
    key: str
    scenario: str
    bulk: str
    certificate: str
    webhook: str
    webhook_delivery: str

    def refs(self) -> dict[str, str]:
        """An id for every address that takes one, by its URL name."""
        tenant, final, draft = self.tenant.slug, self.final.public_id, self.draft.public_id
        tabs = (
            "detail",
            "resources",
            "usage",
            "usage-hours",
            "invoices",
            "config",
            "config-roll-back",
            "routes",
            "lines-choose",
            "eula-accept",
            "breaker-trip",
            "breaker-reset",
            "playground",
            "activity",
            "suspend",
            "resume",
            "offboard",
            "change-tier",
            "hold-place",
            "hold-release",
            "account",
            "account-register",
            "account-prove",
            "policy",
        )
        return {
            **dict.fromkeys(("account-assign", "account-close"), self.account),
            **{f"tenant-{tab}": tenant for tab in tabs},
            "adapter-create": tenant,
            "gap-accept": self.gap,
            **{f"adapter-{each}": self.adapter for each in ("detail", "upload", "roll-back", "withdraw")},
            **{f"adapter-{each}": self.adapter for each in ("import", "history", "approval-policy")},
            "tenant-history": tenant,
            **{f"version-{each}": self.version for each in ("detail", "release", "archive")},
            **{f"version-{each}": self.version for each in ("compare", "approve", "reject", "restore", "retire")},
            **{f"finding-{each}": self.finding for each in ("adopt", "delete", "ignore", "unignore")},
            **{f"release-{each}": self.release for each in ("pause", "continue", "abort")},
            **{
                f"operation-{each}": self.operation
                for each in ("detail", "retry", "cancel", "hold", "switch", "continue")
            },
            **{
                f"invoice-{each}": final
                for each in ("detail", "document", "comparison", "pay", "void", "credit", "what-if")
            },
            **{f"invoice-{each}": draft for each in ("refresh", "finalize", "adjust")},
            "credit-refund": MAKERS["credit_grant"](self.tenant),
            "discount-end": MAKERS["discount"](self.tenant),
            "tax-profile": tenant,
            **{f"rate-card-{each}": self.card for each in ("detail", "edit", "publish", "schedule")},
            "upload-begin": self.adapter,
            **{f"upload-{each}": make_upload(self.tenant).public_id for each in ("parts", "complete", "abort")},
            "invoice-line": self.line,
            "export-download": self.export,
            "key-revoke": self.key,
            **{f"tier-version-{each}": MAKERS["tier_version"](self.tenant) for each in ("create", "publish")},
            **{f"bulk-{each}": self.bulk for each in ("detail", "retry")},
            "certificate-download": self.certificate,
            **{
                f"webhook-{each}": self.webhook
                for each in ("detail", "change", "test", "replay", "rotate", "disable", "enable", "delete")
            },
            "webhook-delivery-replay": self.webhook_delivery,
            "scenario-delete": self.scenario,
        }


def furnish(set_clock: Callable[[datetime], None]) -> Furnished:
    """Make it all by the real services, and rows where those would need AWS."""
    seed_prices()
    world = World(set_clock)
    tenant, other = world.tenant(name="Acme K.K.", slug="acme"), world.tenant(name="Beta Inc.", slug="beta")
    for each in (tenant, other):
        world.use(each, "input_tokens", 1_234_567)
        world.use(each, "output_tokens", 45_678)
    drafts = invoicing.draft_invoices(tenant_ids=[tenant.pk, other.pk], period=OCTOBER, actor=TESTER)
    final = next(draft for draft in drafts if draft.tenant_id == tenant.pk)
    draft = next(draft for draft in drafts if draft.tenant_id == other.pk)
    invoicing.finalize_invoices(invoice_ids=[final.pk], actor=TESTER)
    final.refresh_from_db()
    line = final.lines.exclude(meter="").order_by("position")[0]
    note = credits.issue_credit_note(
        invoice_id=final.pk, amounts={line.public_id: line.amount / 2}, reason="too slow", actor=TESTER
    )
    live, version = make_release(tenant).version, make_version(tenant)
    assert live is not None
    operation = make_operation(tenant)
    make_config(tenant)
    make_config(tenant)
    make_line(tenant)
    roll_up_hours()
    return Furnished(
        tenant=tenant,
        adapter=make_adapter(tenant).public_id,
        version=version.public_id,
        live=live.public_id,
        rejected=_rejected(tenant).public_id,
        release=make_canary(tenant).public_id,
        operation=operation.public_id,
        finding=make_finding(tenant).public_id,
        gap=make_gap(tenant).public_id,
        account=make_account(tenant).public_id,
        draft=draft,
        final=final,
        note=note,
        line=line.public_id,
        card=MAKERS["rate_card"](tenant),
        export=make_export(tenant).public_id,
        key=make_key(tenant).public_id,
        bulk=make_bulk(tenant).public_id,
        certificate=make_certificate(tenant).public_id,
        webhook=make_webhook(tenant).public_id,
        webhook_delivery=make_webhook_delivery(tenant).public_id,
        scenario=save_scenario(tenant_id=None, name="Kept", inputs=as_data(scenario()), actor=TESTER).public_id,
    )


def make_line(tenant: Tenant) -> None:
    """A gated model's line in the tenant's tier, with an endpoint that sits nowhere."""
    api = replace(API_LINES["strong-api"], eula_url="https://example.com/licence")
    line = define_api_line(name="strong-api", region="us-west-2", api=api)
    route_tier(tier_version_id=tier_version_of(tenant.pk, clock.now()).pk, lines=[line])


def make_gap(tenant: Tenant) -> UsageGap:
    """Two hours of the tenant that nobody could read."""
    start = floor_to_bucket(clock.now(), 3600) - timedelta(hours=9)
    return UsageGap.objects.create(
        tenant=tenant, starts_at=start, ends_at=start + timedelta(hours=2), problem="GetMetricData: Throttling"
    )


def _rejected(tenant: Tenant) -> AdapterVersion:
    finding = {
        "code": "dora_unsupported",
        "severity": "error",
        "message": "<b>DoRA</b>",
        "hint": "No DoRA.",
        "tensor": "",
    }
    return AdapterVersion.objects.create(
        adapter=make_adapter(tenant),
        tenant=tenant,
        state=VersionState.REJECTED,
        findings=[finding],
        parts=[{"name": "adapter_config.json", "size": 1}],
        metrics={"exact_match": 0.1 + 0.2},
        uploaded_by="tester",
    )
