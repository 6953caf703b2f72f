"""Usage that somebody put and nobody owns: found by listing what exists, kept with the reason, shown to operators.

A safety net beside the books: ListMetrics lags and forgets after two weeks, so nothing is ever billed from it.
"""

import hashlib
import json
from collections import Counter
from datetime import UTC, datetime, timedelta

from django.db import transaction

from aws import connect
from aws.errors import AwsError
from aws.gateway import MetricName, SeriesQuery
from core import clock
from core.periods import Period
from metering import emitters, meters, store
from metering.attribution import Unknown, attribute
from provisioning.models import PublishedConfig
from tenants.models import Tenant

BUCKET_SECONDS = 3600
LISTED_FOR = timedelta(days=14)
TENANT_DIMENSION = meters.DIMENSIONS[0]


def note_unattributed(*, span: Period, as_of: datetime, problems: Counter[str]) -> int:
    """Keep what was put within `span` and belongs to no published route; return how many values are new.

    AWS's failures are counted in `problems`, not raised: the next run looks again.
    """
    start = max(span.start, as_of - LISTED_FOR)
    if start >= span.end:
        return 0
    found: list[store.Nobodys] = []
    places = PublishedConfig.objects.order_by().values_list("document__region", "document__metrics_namespace")
    for region, namespace in places.distinct():
        try:
            found += _look(region, namespace, Period(start, span.end))
        except AwsError as error:
            problems[f"unattributed usage was not looked for: {error}"] += 1
    with transaction.atomic(durable=True):
        return store.write_nobodys(found)


def _look(region: str, namespace: str, span: Period) -> list[store.Nobodys]:
    gateway = connect.metrics(region)
    fetched_at = clock.now()
    names, _ = gateway.list_metrics(namespace)
    strangers = _strangers(names, region, namespace)
    queries = [
        SeriesQuery(f"u{at}", namespace, name.metric, name.dimensions, BUCKET_SECONDS, meters.STATISTIC)
        for at, (name, _) in enumerate(strangers)
    ]
    if not queries:
        return []
    series = gateway.read_series(queries, span.start, span.end).series
    found = []
    for query, (name, reason) in zip(queries, strangers, strict=True):
        dimensions = json.dumps(dict(name.dimensions), sort_keys=True)
        identity = json.dumps([region, namespace, name.metric, dimensions])
        digest = hashlib.sha256(identity.encode()).hexdigest()
        for epoch, value in series[query.id].points:
            at = datetime.fromtimestamp(epoch, UTC)
            found.append(
                store.Nobodys(
                    region,
                    namespace,
                    name.metric,
                    dimensions,
                    digest,
                    at,
                    BUCKET_SECONDS,
                    value,
                    reason[:500],
                    fetched_at,
                )
            )
    return found


def _strangers(names: list[MetricName], region: str, namespace: str) -> list[tuple[MetricName, str]]:
    """The series that no published route explains, each with the reason."""
    claimed = {name.dimensions[TENANT_DIMENSION] for name in names if TENANT_DIMENSION in name.dimensions}
    tenants = dict(Tenant.objects.filter(public_id__in=claimed).values_list("public_id", "pk"))
    published = {emission.emitter for emission in emitters.emissions(tenants.values())}
    strangers = []
    for name in names:
        owner = attribute(
            name.metric, name.dimensions, region=region, namespace=namespace, emitters=published, tenants=tenants
        )
        if isinstance(owner, Unknown):
            strangers.append((name, owner.reason))
    return strangers
