"""The audit trail, searched."""

from collections.abc import Collection

from django.db.models import QuerySet

from events.models import Event


def search_events(
    *,
    tenant_ids: Collection[int] | None,
    subject_ref: str | None = None,
    tenant_ref: str | None = None,
    name: str | None = None,
    request_id: str | None = None,
) -> QuerySet[Event]:
    """Events the caller may see, newest first; `tenant_ids` None means all of them, with those of no tenant."""
    events = Event.objects.order_by("-pk")
    if tenant_ids is not None:
        events = events.filter(tenant_pk__in=tenant_ids)
    if subject_ref:
        events = events.filter(subject_ref=subject_ref)
    if tenant_ref:
        events = events.filter(tenant_ref=tenant_ref)
    if name:
        events = events.filter(name=name)
    if request_id:
        events = events.filter(request_id=request_id)
    return events


def events_about(subject_refs: Collection[str]) -> QuerySet[Event]:
    """Events about any of these subjects, newest first; the caller has found the subjects and so may see them."""
    return Event.objects.filter(subject_ref__in=list(subject_refs)).order_by("-pk")
