"""Reading versions, one by one, in lists, and those that wait for somebody."""

import re
from collections.abc import Collection
from datetime import datetime

from django.db.models import BooleanField, ExpressionWrapper, F, Func, Q, QuerySet, TextField
from django.db.models.fields.json import KeyTransform

from core.errors import NotFound
from core.reading import the_one
from models_registry.models import AdapterVersion
from models_registry.queries.adapters import FilterInvalid
from models_registry.states import Approval, VersionState

_METRIC = re.compile(r"\s*(?P<name>[^<>=]{1,100}?)\s*(?P<compare>>=|<=)\s*(?P<value>[+-]?\d{1,30}(\.\d{1,30})?)\s*")


def get_version(ref: str, *, tenant_ids: Collection[int] | None) -> AdapterVersion:
    """By public id. Raises NotFound when absent, invisible, or still on its way to us."""
    version = the_one(_versions(tenant_ids).filter(public_id=ref))
    if version is None:
        raise NotFound(f"There is no adapter version {ref}.")
    return version


def list_versions(
    *,
    tenant_ids: Collection[int] | None,
    adapter_id: int | None = None,
    state: str | None = None,
    approval: str | None = None,
    uploader: str | None = None,
    metric: str | None = None,
) -> QuerySet[AdapterVersion]:
    """Versions that have arrived, newest first. `metric` is a name, `>=` or `<=`, and a number.

    Raises FilterInvalid for a metric that is written otherwise.
    """
    versions = _versions(tenant_ids).defer("adapter__foundation_model__config", "replacement__findings")
    if adapter_id is not None:
        versions = versions.filter(adapter_id=adapter_id)
    if state:
        versions = versions.filter(state=state)
    if approval:
        versions = versions.filter(approval=approval, state=VersionState.READY)
    if uploader:
        versions = versions.filter(Q(uploaded_by=uploader) | Q(uploaded_by_ref=uploader))
    if metric:
        versions = _by_metric(versions, metric)
    return versions.order_by("-id")


def compared_by_default(version: AdapterVersion) -> AdapterVersion:
    """What a version is compared with unless somebody says: the live one, else the one numbered before, else itself."""
    others = AdapterVersion.objects.filter(adapter_id=version.adapter_id, number__isnull=False).exclude(pk=version.pk)
    live = others.filter(adapter__live_version_id=F("id")).first()
    earlier = others.filter(number__lt=version.number or 0).order_by("-number").first()
    return live or earlier or version


def versions_for_people(*, tenant_ids: Collection[int] | None, before: datetime) -> QuerySet[AdapterVersion]:
    """Versions that wait for somebody: those that answer now and retire before an instant, the most urgent first, then
    ready ones without the approval that they need, newest first. `is_retiring` tells them apart."""
    retiring = Q(adapter__live_version_id=F("id"), retires_at__lt=before)
    waiting = Q(approval=Approval.PENDING, state=VersionState.READY)
    found = _versions(tenant_ids).defer("adapter__foundation_model__config", "replacement__findings")
    told = found.filter(retiring | waiting).annotate(is_retiring=ExpressionWrapper(retiring, BooleanField()))
    return told.order_by("-is_retiring", F("retires_at").asc(nulls_last=True), "-id")


def mirrored_versions(tenant_id: int) -> QuerySet[AdapterVersion]:
    """A tenant's versions that can be released, by adapter and number: what SageMaker's registry shows of us."""
    ready = AdapterVersion.objects.filter(tenant_id=tenant_id, state=VersionState.READY)
    heavy = ("adapter__foundation_model__config", "findings", "facts", "metrics", "notes")
    related = ready.select_related("adapter__foundation_model", "adapter__serving_profile").defer(*heavy)
    return related.order_by("adapter_id", "number")


def _by_metric(versions: QuerySet[AdapterVersion], metric: str) -> QuerySet[AdapterVersion]:
    asked = _METRIC.fullmatch(metric)
    if asked is None:
        raise FilterInvalid(f"{metric} is no condition on a metric.", hint="Write it such as exact_match>=0.8.")
    value = KeyTransform(asked["name"], "metrics")
    kind = Func(value, function="jsonb_typeof", output_field=TextField())
    lookup = "gte" if asked["compare"] == ">=" else "lte"
    # jsonb orders numbers below true and above texts, so the kind is asked for as well.
    return versions.annotate(metric_kind=kind, metric_value=value).filter(
        metric_kind="number", **{f"metric_value__{lookup}": float(asked["value"])}
    )


def _versions(tenant_ids: Collection[int] | None) -> QuerySet[AdapterVersion]:
    """Uploads on their way are nobody's business yet: they may vanish without a trace."""
    return (
        AdapterVersion.objects.visible_to(tenant_ids)
        .exclude(state=VersionState.UPLOADING)
        .select_related("tenant", "adapter__foundation_model", "adapter__serving_profile", "replacement")
    )
