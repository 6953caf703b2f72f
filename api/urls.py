"""Every address under /api/v1. `tests/architecture/test_routes.py` walks this list; each must refuse strangers."""

from django.urls import path, register_converter

from api import (
    adapters,
    api_keys,
    comparison,
    containers,
    events,
    exports,
    inventory,
    invoice_documents,
    invoices,
    limits,
    multipart,
    operations,
    rate_cards,
    releases,
    scenarios,
    schema,
    tenants,
    usage,
    usage_events,
    webhooks,
)
from api.unknown import UnknownAddress


class RefConverter:
    """An id in a path: anything without a slash that PostgreSQL can compare with a text."""

    regex = r"[^/\x00]{1,200}"

    def to_python(self, value: str) -> str:
        """As it came."""
        return value

    def to_url(self, value: str) -> str:
        """As it is."""
        return value


register_converter(RefConverter, "ref")

urlpatterns = [
    path("openapi.json", schema.openapi, name="api-openapi"),
    path("tiers", tenants.TierList.as_view()),
    path("tenants", tenants.TenantList.as_view()),
    path("tenants/<ref:tenant>", tenants.TenantDetail.as_view()),
    path("tenants/<ref:tenant>/suspend", tenants.TenantSuspension.as_view()),
    path("tenants/<ref:tenant>/resume", tenants.TenantResumption.as_view()),
    path("tenants/<ref:tenant>/offboard", tenants.TenantDeparture.as_view()),
    path("tenants/<ref:tenant>/offboarding", tenants.TenantOffboarding.as_view()),
    path("tenants/<ref:tenant>/runtime-configs", operations.ConfigList.as_view()),
    path("tenants/<ref:tenant>/runtime-configs/diff", operations.ConfigDifference.as_view()),
    path("foundation-models", adapters.FoundationModelList.as_view()),
    path("adapters", adapters.AdapterList.as_view()),
    path("adapters/<ref:adapter>", adapters.AdapterDetail.as_view()),
    path("adapters/<ref:adapter>/versions", adapters.VersionList.as_view()),
    path("adapters/<ref:adapter>/uploads", multipart.AdapterUploadList.as_view()),
    path("adapter-uploads/<ref:adapter_upload>", multipart.AdapterUploadDetail.as_view()),
    path("adapter-uploads/<ref:adapter_upload>/parts", multipart.AdapterUploadParts.as_view()),
    path("adapter-uploads/<ref:adapter_upload>/complete", multipart.AdapterUploadCompletion.as_view()),
    path("adapter-uploads/<ref:adapter_upload>/abort", multipart.AdapterUploadAbortion.as_view()),
    path("adapters/<ref:adapter>/releases", releases.ReleaseList.as_view()),
    path("adapters/<ref:adapter>/timeline", releases.AdapterTimeline.as_view()),
    path("adapters/<ref:adapter>/served-at", releases.AdapterServedAt.as_view()),
    path("adapters/<ref:adapter>/roll-back", releases.AdapterRollBack.as_view()),
    path("adapters/<ref:adapter>/withdraw", releases.AdapterWithdrawal.as_view()),
    path("adapter-versions/<ref:adapter_version>", adapters.VersionDetail.as_view()),
    path("adapter-versions/<ref:adapter_version>/release", releases.VersionRelease.as_view()),
    path("releases/<ref:release>", releases.ReleaseDetail.as_view()),
    path("operations", operations.OperationList.as_view()),
    path("operations/<ref:operation>", operations.OperationDetail.as_view()),
    path("operations/<ref:operation>/retry", operations.OperationRetry.as_view()),
    path("resources", operations.ResourceList.as_view()),
    path("resources/<ref:resource>", operations.ResourceDetail.as_view()),
    path("inventory", inventory.InventoryList.as_view()),
    path("tenants/<ref:tenant>/usage", usage.UsageByDay.as_view()),
    path("usage-events", usage_events.UsageEvents.as_view()),
    path("tenants/<ref:tenant>/invoice-preview", invoices.InvoicePreview.as_view()),
    path("rate-cards", rate_cards.RateCardList.as_view()),
    path("invoices", invoices.InvoiceList.as_view()),
    path("invoices/<ref:invoice>", invoices.InvoiceDetail.as_view()),
    path("invoices/<ref:invoice>/comparison", comparison.InvoiceComparison.as_view()),
    path("invoices/<ref:invoice>/lines", invoices.InvoiceLines.as_view()),
    path("invoices/<ref:invoice>/refresh", invoices.InvoiceRefresh.as_view()),
    path("invoices/<ref:invoice>/finalize", invoices.InvoiceFinalization.as_view()),
    path("invoices/<ref:invoice>/mark-paid", invoices.InvoicePayment.as_view()),
    path("invoices/<ref:invoice>/void", invoices.InvoiceVoiding.as_view()),
    path("invoices/<ref:invoice>/credit-notes", invoices.CreditNotes.as_view()),
    path("invoices/<ref:invoice>/pdf", invoice_documents.InvoicePdf.as_view()),
    path("invoices/<ref:invoice>/csv", invoice_documents.InvoiceCsv.as_view()),
    path("invoices/<ref:invoice>/xlsx", invoice_documents.InvoiceXlsx.as_view()),
    path("invoices/<ref:invoice>/json", invoice_documents.InvoiceJson.as_view()),
    path("invoices/<ref:invoice>/focus", invoice_documents.InvoiceFocus.as_view()),
    path("invoice-lines/<ref:invoice_line>/explanation", invoices.LineExplanation.as_view()),
    path("exports", exports.ExportList.as_view()),
    path("exports/<ref:export>", exports.ExportDetail.as_view()),
    path("exports/<ref:export>/download", exports.ExportFile.as_view()),
    path("scenarios", scenarios.ScenarioList.as_view()),
    path("scenarios/evaluate", scenarios.ScenarioEvaluation.as_view()),
    path("scenarios/compare", scenarios.ScenarioComparison.as_view()),
    path("scenarios/<ref:scenario>", scenarios.ScenarioDetail.as_view()),
    path("container-settings/generate", containers.ContainerSettings.as_view()),
    path("container-settings/lint", containers.ContainerSettingsLint.as_view()),
    path("limits/reserve", limits.LimitReservation.as_view()),
    path("limits/settle", limits.LimitSettlement.as_view()),
    path("events", events.EventList.as_view()),
    path("api-keys", api_keys.ApiKeyList.as_view()),
    path("api-keys/<ref:api_key>", api_keys.ApiKeyDetail.as_view()),
    path("api-keys/<ref:api_key>/revoke", api_keys.ApiKeyRevocation.as_view()),
    path("webhooks", webhooks.WebhookList.as_view()),
    path("webhooks/<ref:webhook>", webhooks.WebhookDetail.as_view()),
    path("webhooks/<ref:webhook>/rotate-secret", webhooks.WebhookSecretRotation.as_view()),
    path("webhooks/<ref:webhook>/test", webhooks.WebhookTest.as_view()),
    path("webhooks/<ref:webhook>/disable", webhooks.WebhookDisabling.as_view()),
    path("webhooks/<ref:webhook>/enable", webhooks.WebhookEnabling.as_view()),
    path("webhooks/<ref:webhook>/replay", webhooks.WebhookReplay.as_view()),
    path("webhooks/<ref:webhook>/deliveries", webhooks.WebhookDeliveryList.as_view()),
    path("webhooks/<ref:webhook>/deliveries/<ref:webhook_delivery>", webhooks.WebhookDeliveryDetail.as_view()),
    path("webhooks/<ref:webhook>/deliveries/<ref:webhook_delivery>/replay", webhooks.WebhookDeliveryReplay.as_view()),
    # Last: an address that is none of ours is a problem document too, and only for those who have a key.
    path("<path:rest>", UnknownAddress.as_view()),
]
