"""Every address that people open. Each view says which permission it needs; signing in is the only open door."""

from django.urls import path, register_converter

from dashboard.views import (
    accounts,
    adapters,
    containers,
    exports,
    home,
    inventory,
    invoices,
    metering,
    operations,
    planner,
    planner_catalogue,
    playground,
    registry,
    resources,
    search,
    session,
    settings,
    tenant_pages,
    tenants,
    uploads,
    usage,
    versions,
    webhooks,
)


class HandleConverter:
    """A slug or public id in a path: anything without a slash that PostgreSQL can compare with a text."""

    regex = r"[^/\x00]{1,100}"

    def to_python(self, value: str) -> str:
        """As it came."""
        return value

    def to_url(self, value: str) -> str:
        """As it is."""
        return str(value)


register_converter(HandleConverter, "handle")

urlpatterns = [
    path("", home.home, name="home"),
    path("search/", search.search, name="search"),
    # signing in and out
    path("login/", session.login, name="login"),
    path("login/<handle:token>/", session.login_link, name="login-link"),
    path("logout/", session.logout, name="logout"),
    # tenants
    path("tenants/", tenants.listing, name="tenant-list"),
    path("onboard/", tenants.onboard, name="tenant-onboard"),
    path("tenants/<handle:ref>/", tenant_pages.overview, name="tenant-detail"),
    path("tenants/<handle:ref>/resources/", tenant_pages.resources, name="tenant-resources"),
    path("tenants/<handle:ref>/usage/", usage.tenant_usage, name="tenant-usage"),
    path("tenants/<handle:ref>/usage/hours/", usage.hours, name="tenant-usage-hours"),
    path("tenants/<handle:ref>/invoices/", tenant_pages.invoices, name="tenant-invoices"),
    path("tenants/<handle:ref>/config/", tenant_pages.config, name="tenant-config"),
    path("tenants/<handle:ref>/playground/", playground.playground, name="tenant-playground"),
    path("tenants/<handle:ref>/activity/", tenant_pages.activity, name="tenant-activity"),
    path("tenants/<handle:ref>/suspend/", tenants.suspend, name="tenant-suspend"),
    path("tenants/<handle:ref>/resume/", tenants.resume, name="tenant-resume"),
    path("tenants/<handle:ref>/offboard/", tenants.offboard, name="tenant-offboard"),
    path("tenants/<handle:ref>/account/", accounts.tenant_account, name="tenant-account"),
    path("tenants/<handle:ref>/account/register/", accounts.tenant_register, name="tenant-account-register"),
    path("tenants/<handle:ref>/account/prove/", accounts.tenant_prove, name="tenant-account-prove"),
    path("tenants/<handle:ref>/policy/", accounts.tenant_policy, name="tenant-policy"),
    path("tenants/<handle:ref>/adapters/new/", adapters.create, name="adapter-create"),
    # adapters
    path("adapters/", adapters.listing, name="adapter-list"),
    path("adapters/<handle:ref>/", adapters.detail, name="adapter-detail"),
    path("adapters/<handle:ref>/upload/", versions.upload, name="adapter-upload"),
    path("adapters/<handle:ref>/upload/begin/", uploads.begin, name="upload-begin"),
    path("uploads/<handle:ref>/parts/", uploads.parts, name="upload-parts"),
    path("uploads/<handle:ref>/complete/", uploads.complete, name="upload-complete"),
    path("uploads/<handle:ref>/abort/", uploads.abort, name="upload-abort"),
    path("adapters/<handle:ref>/roll-back/", adapters.roll_back, name="adapter-roll-back"),
    path("adapters/<handle:ref>/withdraw/", adapters.withdraw, name="adapter-withdraw"),
    path("adapters/<handle:ref>/import/", registry.import_from_s3, name="adapter-import"),
    path("adapters/<handle:ref>/history/", registry.adapter_history, name="adapter-history"),
    path("adapters/<handle:ref>/approval-policy/", registry.approval_policy, name="adapter-approval-policy"),
    path("tenants/<handle:ref>/history/", registry.tenant_history, name="tenant-history"),
    path("versions/<handle:ref>/compare/", registry.compare, name="version-compare"),
    path("versions/<handle:ref>/approve/", registry.approve, name="version-approve"),
    path("versions/<handle:ref>/reject/", registry.reject, name="version-reject"),
    path("versions/<handle:ref>/restore/", registry.restore, name="version-restore"),
    path("versions/<handle:ref>/retire/", registry.retire, name="version-retire"),
    path("versions/<handle:ref>/", versions.detail, name="version-detail"),
    path("versions/<handle:ref>/release/", adapters.release, name="version-release"),
    path("versions/<handle:ref>/archive/", adapters.archive, name="version-archive"),
    # operations
    path("operations/", operations.listing, name="operation-list"),
    path("operations/resources/", resources.listing, name="resource-list"),
    path("operations/inventory/", inventory.listing, name="inventory"),
    path("operations/inventory/<handle:ref>/delete/", inventory.delete, name="finding-delete"),
    path("operations/inventory/<handle:ref>/ignore/", inventory.ignore, name="finding-ignore"),
    path("operations/<handle:ref>/", operations.detail, name="operation-detail"),
    path("operations/<handle:ref>/retry/", operations.retry, name="operation-retry"),
    # usage
    path("usage/", usage.overview, name="usage"),
    path("usage/export.csv", usage.download, name="usage-download"),
    path("usage/health/", metering.overview, name="metering-health"),
    path("usage/health/gaps/<handle:ref>/accept/", metering.accept, name="gap-accept"),
    path("operations/accounts/", accounts.listing, name="account-list"),
    path("operations/accounts/register/", accounts.register, name="account-register"),
    path("operations/accounts/<handle:ref>/assign/", accounts.assign, name="account-assign"),
    path("operations/accounts/<handle:ref>/close/", accounts.close, name="account-close"),
    path("usage/health/meters/<slug:meter>/source/", metering.source, name="meter-source"),
    path("usage/health/meters/<slug:meter>/tolerance/", metering.tolerance, name="meter-tolerance"),
    path("usage/health/backfill/", metering.backfill, name="metering-backfill"),
    # billing
    path("billing/", invoices.listing, name="invoice-list"),
    path("billing/draft/", invoices.draft, name="invoice-draft"),
    path("billing/rate-cards/", invoices.rate_cards, name="rate-card-list"),
    path("billing/invoices/<handle:ref>/", invoices.detail, name="invoice-detail"),
    path("billing/invoices/<handle:ref>/comparison/", invoices.comparison, name="invoice-comparison"),
    path("billing/invoices/<handle:ref>/refresh/", invoices.refresh, name="invoice-refresh"),
    path("billing/invoices/<handle:ref>/finalize/", invoices.finalize, name="invoice-finalize"),
    path("billing/invoices/<handle:ref>/pay/", invoices.pay, name="invoice-pay"),
    path("billing/invoices/<handle:ref>/void/", invoices.void, name="invoice-void"),
    path("billing/invoices/<handle:ref>/credit/", invoices.credit, name="invoice-credit"),
    path("billing/invoices/<handle:ref>/document/<slug:format>/", invoices.document, name="invoice-document"),
    path("billing/lines/<handle:ref>/", invoices.line, name="invoice-line"),
    path("billing/exports/", exports.listing, name="export-list"),
    path("billing/exports/new/", exports.create, name="export-create"),
    path("billing/exports/<handle:ref>/download/", exports.download, name="export-download"),
    # planner
    path("planner/", planner.planner, name="planner"),
    path("planner/save/", planner.save, name="scenario-save"),
    path("planner/export/", planner.export, name="planner-export"),
    path("planner/scenarios/", planner.listing, name="scenario-list"),
    path("planner/scenarios/compare/", planner.compare, name="scenario-compare"),
    path("planner/scenarios/<handle:ref>/delete/", planner.delete, name="scenario-delete"),
    path("planner/catalogue/", planner_catalogue.catalogue, name="planner-catalogue"),
    path("planner/catalogue/import/", planner_catalogue.take_in, name="catalogue-import"),
    path("planner/catalogue/export/", planner_catalogue.download, name="catalogue-download"),
    path("planner/containers/", containers.containers, name="containers"),
    # settings
    path("settings/", settings.entry, name="settings"),
    path("settings/keys/", settings.key_list, name="key-list"),
    path("settings/keys/issue/", settings.key_issue, name="key-issue"),
    path("settings/keys/<handle:ref>/revoke/", settings.key_revoke, name="key-revoke"),
    path("settings/webhooks/", webhooks.listing, name="webhook-list"),
    path("settings/webhooks/add/", webhooks.create, name="webhook-create"),
    path("settings/webhooks/<handle:ref>/", webhooks.detail, name="webhook-detail"),
    path("settings/webhooks/<handle:ref>/change/", webhooks.change, name="webhook-change"),
    path("settings/webhooks/<handle:ref>/test/", webhooks.test, name="webhook-test"),
    path("settings/webhooks/<handle:ref>/replay/", webhooks.replay_range, name="webhook-replay"),
    path("settings/webhooks/<handle:ref>/rotate/", webhooks.rotate, name="webhook-rotate"),
    path("settings/webhooks/<handle:ref>/disable/", webhooks.disable, name="webhook-disable"),
    path("settings/webhooks/<handle:ref>/enable/", webhooks.enable, name="webhook-enable"),
    path("settings/deliveries/<handle:ref>/replay/", webhooks.replay_one, name="webhook-delivery-replay"),
    path("settings/audit/", settings.audit, name="audit"),
]
