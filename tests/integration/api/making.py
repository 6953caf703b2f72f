"""One object of a tenant for each kind of id that an address can hold; rows whose makers need AWS are written."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from accounts.models import ApiKey
from accounts.services import issue_api_key
from billing.models import Export, Invoice, InvoiceLine
from billing.queries.issuers import the_issuer
from billing.services.discounts import DiscountDetails, agree_discount
from billing.services.exports import request_export
from billing.services.invoicing import finalize_invoices
from billing.services.rate_cards import RateDraft, draft_rate_card
from billing.services.seeding import seed_rate_cards
from billing.services.wallet import grant_credit
from billing.states import InvoiceState
from core import clock
from core.ids import new_id
from core.periods import billing_month
from events.models import WebhookDelivery, WebhookEndpoint
from events.webhooks.endpoints import create_endpoint, send_test
from models_registry.canary import Plan
from models_registry.containers.generate import MODEL_FOLDER, Assignment, BaseModel, generate
from models_registry.containers.images import newest
from models_registry.models import Adapter, AdapterUpload, AdapterVersion, Release
from models_registry.services.adapters import create_adapter
from models_registry.services.canaries import follow_shares
from models_registry.services.catalogue import define_serving_profile, register_foundation_model
from models_registry.services.multipart import PART_BYTES
from models_registry.services.releases import record_live, release_version
from models_registry.states import VersionState
from provisioning.models import (
    AwsAccount,
    BulkOperation,
    DeletionCertificate,
    ManagedResource,
    Operation,
    OperationStep,
    PublishedConfig,
)
from provisioning.models.findings import InventoryFinding
from provisioning.planner.presets import BLANK, load_presets
from provisioning.services.accounts import register_tenant_account
from provisioning.services.bulk import start_bulk
from provisioning.services.scenarios import save_scenario
from provisioning.states import OperationState
from tenants.models import Tenant
from tenants.queries import tier_version_of
from tests.factories import TESTER, make_tier
from tests.unit.models_registry.making import BASE


def make_profile() -> int:
    """The base model `tiny-llama` with a serving profile; gives the base model's pk."""
    model = register_foundation_model(
        name="tiny-llama", config=BASE, model_data_uri="s3://models/tiny-llama/", actor=TESTER
    )
    define_serving_profile(
        name="tiny-llama-vllm",
        foundation_model_id=model.pk,
        image=newest().name,
        engine="vllm-0.26",
        max_lora_rank=64,
        max_loras=8,
        accelerators=1,
        min_memory_mb=4096,
        environment=generate(newest(), BaseModel(MODEL_FOLDER), Assignment((64,) * 8, 8)).environment(),
        actor=TESTER,
    )
    return model.pk


def make_adapter(tenant: Tenant) -> Adapter:
    """An adapter of the tenant, the same one each time."""
    existing = Adapter.objects.filter(tenant=tenant).first()
    return existing or create_adapter(
        tenant_id=tenant.pk, name="support", foundation_model_id=make_profile(), actor=TESTER
    )


def make_version(tenant: Tenant) -> AdapterVersion:
    """A ready version without an upload."""
    adapter = make_adapter(tenant)
    number = AdapterVersion.objects.filter(adapter=adapter).count() + 1
    Adapter.objects.filter(pk=adapter.pk).update(next_number=number + 1)
    return AdapterVersion.objects.create(
        adapter=adapter,
        tenant=tenant,
        number=number,
        state=VersionState.READY,
        sha256=f"{number:064x}",
        artifact_key=f"k{number}",
        size_bytes=1,
        rank=8,
        parts=[{"name": "adapter.tar.gz", "size": 1}],
        findings=[{"code": "c", "severity": "warning", "message": "m", "hint": "h", "tensor": None}],
        uploaded_by="tester",
    )


def make_upload(tenant: Tenant) -> AdapterUpload:
    """An upload in parts that the bucket has not been told of yet."""
    version = AdapterVersion.objects.create(
        adapter=make_adapter(tenant), tenant=tenant, parts=[{"name": "adapter.tar.gz", "size": 9}], uploaded_by="tester"
    )
    return AdapterUpload.objects.create(
        version=version, part_bytes=PART_BYTES, expires_at=clock.real_now() + timedelta(hours=1)
    )


def make_release(tenant: Tenant) -> Release:
    """A release that is live."""
    release = release_version(version_id=make_version(tenant).pk, reason="", actor=TESTER)
    record_live(release_ids=[release.pk], at=clock.now(), actor=TESTER)
    return release


def make_canary(tenant: Tenant) -> Release:
    """A release in steps, beside a live version, whose first share data planes were told of."""
    if not Adapter.objects.filter(tenant=tenant, live_version__isnull=False).exists():
        make_release(tenant)
    version = make_version(tenant)
    made = release_version(version_id=version.pk, plan=Plan(steps=(10, 50)), reason="", actor=TESTER)
    follow_shares(tenant_id=tenant.pk, shares={version.public_id: 10}, at=clock.now())
    return made


def make_account(tenant: Tenant) -> AwsAccount:
    """The tenant's own account, registered and not proven."""
    number = AwsAccount.objects.count()
    return register_tenant_account(
        tenant_id=tenant.pk, account_id=f"{222222222222 + number}", regions=["us-west-2"], actor=TESTER
    )


def make_resource(tenant: Tenant) -> ManagedResource:
    """A resource that waits for a quota."""
    number = ManagedResource.objects.count()
    return ManagedResource.objects.create(
        tenant=tenant,
        kind="endpoint",
        slot=f"{tenant.public_id}/dedicated/{number}",
        slug=tenant.slug,
        account="123456789012",
        region="us-west-2",
        name=f"local-endpoint-{tenant.slug}-{number}",
        incarnation=1,
        identity={},
        identity_digest=f"{number:064x}",
        digest=f"{number:064x}",
        stuck_reason="quota",
        detail="ml.g5.2xlarge for endpoint usage: 0",
        last_request_id="aws-request-1",
    )


def make_finding(tenant: Tenant) -> InventoryFinding:
    """An orphan that was seen often enough."""
    number = InventoryFinding.objects.count()
    name = f"local-endpoint-{tenant.slug}-lost-{number}"
    return InventoryFinding.objects.create(
        kind="orphan",
        tenant=tenant,
        account="123456789012",
        region="us-west-2",
        aws_kind="endpoint",
        name=name,
        arn=f"arn:aws:sagemaker:us-west-2:123456789012:endpoint/{name}",
        tags={"cp:install": "local", "cp:resource": f"res_lost{number}", "cp:kind": "endpoint"},
        detail="AWS says InService; no living row of ours.",
        usd_per_hour="1.52",
        sightings=2,
        first_seen_at=clock.real_now() - timedelta(hours=2),
    )


def make_operation(tenant: Tenant) -> Operation:
    """A failed operation with a step that is stuck."""
    Operation.objects.filter(tenant=tenant).update(state=OperationState.SUPERSEDED)
    operation = Operation.objects.create(
        tenant=tenant, kind="onboard", title=f"Onboard {tenant.name}", state=OperationState.FAILED, detail="No quota."
    )
    OperationStep.objects.create(
        operation=operation, position=0, key="endpoint", title="Endpoint", resource=make_resource(tenant)
    )
    return operation


def make_config(tenant: Tenant) -> PublishedConfig:
    """A version of the tenant's runtime config."""
    version = PublishedConfig.objects.filter(tenant=tenant).count() + 1
    route = {
        "adapter": "adp_1", "version_number": version, "adapter_version": f"adv_{version}", "line": "pooled",
        "kind": "hosted", "component": f"component-{version}",
    }  # fmt: skip
    return PublishedConfig.objects.create(
        tenant=tenant,
        version=version,
        document={
            "tenant": tenant.public_id,
            "version": version,
            "region": "us-west-2",
            "metrics_namespace": "ControlPlane/DataPlane",
            "routes": {"support": route},
        },
        sha256="0" * 64,
        signature="0" * 64,
    )


def make_key(tenant: Tenant) -> ApiKey:
    """A key of the tenant."""
    return issue_api_key(name="of the tenant", scopes=["usage.view"], tenant_id=tenant.pk, actor=TESTER)[0]


def make_prices() -> None:
    """The example tiers and their price list."""
    for tier in ("basic", "advanced", "premium"):
        make_tier(tier)
    seed_rate_cards(actor=TESTER)


def make_invoice(tenant: Tenant) -> Invoice:
    """A finalized invoice over one fee, the same one each time; what it bills was not metered."""
    existing = Invoice.objects.filter(tenant=tenant, state=InvoiceState.FINALIZED).first()
    if existing is not None:
        return existing
    make_prices()
    month = billing_month(2026, 10, "UTC")
    draft = Invoice.objects.create(
        tenant=tenant,
        issuer=the_issuer(),
        currency="USD",
        period_start=month.start,
        period_end=month.end,
        timezone="UTC",
        language="en",
        subtotal=29,
        tax=0,
        total=29,
        content_sha256="",
        refreshed_at=clock.now(),
    )
    InvoiceLine.objects.create(
        invoice=draft,
        position=1,
        description="Basic platform fee",
        span_start=month.start,
        span_end=month.end,
        quantity=1,
        unit="month",
        unit_price=29,
        per=1,
        amount=29,
        tax_rate=0,
        explanation={},
    )
    return finalize_invoices(invoice_ids=[draft.pk], actor=TESTER)[0]


def make_line(tenant: Tenant) -> InvoiceLine:
    """The line of that invoice."""
    return InvoiceLine.objects.get(invoice=make_invoice(tenant))


def _tenant_with_config(tenant: Tenant) -> str:
    make_prices()
    make_config(tenant)
    return tenant.public_id


def make_scenario(tenant: Tenant) -> str:
    """A kept scenario about the tenant."""
    inputs = dict(load_presets()[BLANK].scenario)
    return save_scenario(tenant_id=tenant.pk, name="Blank", inputs=inputs, actor=TESTER).public_id


def make_webhook(tenant: Tenant) -> WebhookEndpoint:
    """A webhook endpoint of the tenant on which nobody listens, the same one each time."""
    existing = WebhookEndpoint.objects.filter(tenant_pk=tenant.pk).first()
    return existing or create_endpoint(url="http://127.0.0.1:9/", event_names=[], tenant=tenant, actor=TESTER)[0]


def make_webhook_delivery(tenant: Tenant) -> WebhookDelivery:
    """A test message that waits."""
    return send_test(endpoint_id=make_webhook(tenant).pk, actor=TESTER)


def make_export(tenant: Tenant) -> Export:
    """An export of the tenant's that is done; its file lies nowhere."""
    month = billing_month(2026, 10, "UTC")
    asked = {"tenant_id": tenant.pk, "start": month.start, "end": month.end}
    export = request_export(dataset="invoices", format="csv", **asked, actor=TESTER)
    done = {"state": "done", "sha256": "0" * 64, "artifact_key": "exports/none", "finished_at": clock.now()}
    Export.objects.filter(pk=export.pk).update(**done, expires_at=clock.now() + timedelta(days=7))
    return export


# By the name of the variable in the address.
def make_bulk(tenant: Tenant) -> BulkOperation:
    """A bulk suspension of the tenant, not begun."""
    return start_bulk(kind="suspend", tenant_ids=[tenant.pk], tier_version_id=None, reason="late", actor=TESTER)


def make_certificate(tenant: Tenant) -> DeletionCertificate:
    """What a second read might have found, without a departure."""
    there = DeletionCertificate.objects.filter(tenant=tenant).first()
    content = {"tenant": {"name": tenant.name}, "second_read": {"looked_for": [], "found": 1}}
    return there or DeletionCertificate.objects.create(
        tenant=tenant,
        number=1,
        content=content,
        content_sha256="0" * 64,
        pdf=b"%PDF-",
        pdf_sha256="1" * 64,
        is_clean=False,
    )


def make_card(tenant: Tenant) -> str:
    """A draft of prices; cards are nobody's."""
    fee = RateDraft("fee", "flat", {"amount": "1.00"}, "Fee")
    return draft_rate_card(name="Made", currency=tenant.currency, rates=[fee], actor=TESTER).public_id


def make_grant(tenant: Tenant) -> str:
    """Prepaid credit, the same grant each time."""
    paid = {"amount": Decimal(10), "expires_at": None, "reference": "PAY-1", "reason": "prepaid"}
    return grant_credit(tenant_id=tenant.pk, **paid, actor=TESTER).public_id


def make_discount(tenant: Tenant) -> str:
    """Ten percent from now on."""
    terms = DiscountDetails(name="Off", kind="percent", value=Decimal(10), starts_at=clock.now())
    return agree_discount(tenant_id=tenant.pk, details=terms, reason="agreed", actor=TESTER).public_id


MAKERS: dict[str, Callable[[Tenant], str]] = {
    "tenant": _tenant_with_config,
    "tier_version": lambda tenant: tier_version_of(tenant.pk, clock.now()).public_id,
    "bulk_operation": lambda tenant: make_bulk(tenant).public_id,
    "deletion_certificate": lambda tenant: make_certificate(tenant).public_id,
    "api_key": lambda tenant: make_key(tenant).public_id,
    "adapter": lambda tenant: make_release(tenant).adapter.public_id,
    "adapter_upload": lambda tenant: make_upload(tenant).public_id,
    "adapter_version": lambda tenant: make_version(tenant).public_id,
    "release": lambda tenant: make_canary(tenant).public_id,
    "operation": lambda tenant: make_operation(tenant).public_id,
    "resource": lambda tenant: make_resource(tenant).public_id,
    "finding": lambda tenant: make_finding(tenant).public_id,
    "scenario": make_scenario,
    "webhook": lambda tenant: make_webhook(tenant).public_id,
    "webhook_delivery": lambda tenant: make_webhook_delivery(tenant).public_id,
    "export": lambda tenant: make_export(tenant).public_id,
    "rate_card": make_card,
    "credit_grant": make_grant,
    "discount": make_discount,
    "adjustment": lambda tenant: new_id("adj"),  # the tenant's invoice is final, and has none any more
    "invoice": lambda tenant: make_invoice(tenant).public_id,
    "invoice_line": lambda tenant: make_line(tenant).public_id,
}

# By the name of the operation: parameters without which it cannot be asked.
QUERIES: dict[str, str] = {
    "get_served_at": "at=2026-11-20T00:00:00Z",
    "get_tenant_served_at": "at=2026-11-20T00:00:00Z",
    "compare_runtime_configs": "before=1&after=1",
}
