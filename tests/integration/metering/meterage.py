"""Tenants with published routes, points put by boto3, and the clock: what metering is tried against."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3

from core import clock
from local_stack.emulator import EmulatorClient
from metering.models import UsageBucket
from metering.services.collection import CollectionReport, collect_usage
from provisioning.models import PublishedConfig
from tenants.models import Tenant
from tests.factories import make_tenant

NAMESPACE = "ControlPlane/DataPlane"
HOUR = timedelta(hours=1)
METRICS = {"input_tokens": "InputTokens", "output_tokens": "OutputTokens", "requests": "Requests"}


class Meterage:
    """`start` is the hour at which the clock was set; tenants sign up then."""

    def __init__(self, aws: EmulatorClient) -> None:
        self.aws = aws
        self.cloudwatch: Any = boto3.client("cloudwatch")
        now = clock.now()
        self.start = now.replace(minute=0, second=0, microsecond=0) + HOUR
        self.move_to(self.start)

    def move_to(self, at: datetime) -> None:
        """Push both clocks to `at`, never back."""
        seconds = (at - clock.now()).total_seconds()
        if seconds > 0:
            self.aws.advance(int(seconds) + 1)

    def after(self, **span: float) -> datetime:
        """An instant so long after the start."""
        return self.start + timedelta(**span)

    def tenant(self, *versions: str, line: str = "pooled", **details: Any) -> Tenant:
        """A tenant whose one published config routes the versions named (default: base)."""
        tenant = make_tenant(**details)
        self.publish(tenant, *(versions or ("base",)), line=line)
        return tenant

    def publish(self, tenant: Tenant, *versions: str, line: str = "pooled") -> PublishedConfig:
        """The tenant's next config, as provisioning writes it."""
        number = tenant.published_configs.count() + 1
        routes = {
            f"r{at}": {
                "adapter": None, "adapter_version": version, "version_number": None, "line": line, "kind": "hosted",
                "endpoint": "endpoint", "component": f"component-{version}", "dialect": "openai_completions",
            }
            for at, version in enumerate(versions)
        }  # fmt: skip
        document = {
            "tenant": tenant.public_id,
            "region": "us-west-2",
            "metrics_namespace": NAMESPACE,
            "routes": routes,
        }
        return PublishedConfig.objects.create(tenant=tenant, version=number, document=document)

    def put(
        self,
        tenant: Tenant | str,
        value: float,
        at: datetime,
        *,
        meter: str = "input_tokens",
        version: str = "base",
        line: str = "pooled",
        late_seconds: int = 0,
    ) -> None:
        """Put one value; nobody sees it for `late_seconds`."""
        self.aws.post("metrics", {"late_seconds": late_seconds})
        reference = tenant if isinstance(tenant, str) else tenant.public_id
        dimensions = [
            {"Name": "TenantId", "Value": reference},
            {"Name": "AdapterVersion", "Value": version},
            {"Name": "Line", "Value": line},
        ]
        datum = {
            "MetricName": METRICS[meter],
            "Dimensions": dimensions,
            "Timestamp": at,
            "Value": value,
            "Unit": "Count",
        }
        self.cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=[datum])

    def collect(self, at: datetime | None = None) -> CollectionReport:
        """Move the clock to `at` and collect."""
        if at is not None:
            self.move_to(at)
        return collect_usage()

    def settle(self, until: datetime) -> CollectionReport:
        """Collect once when everything before `until` can settle."""
        return self.collect(until + timedelta(hours=72, minutes=1))

    def total(self, tenant: Tenant, meter: str = "input_tokens") -> int:
        """What the buckets say."""
        return int(sum(UsageBucket.objects.filter(tenant=tenant, meter=meter).values_list("quantity", flat=True)))

    def by_bucket(self, tenant: Tenant, meter: str = "input_tokens") -> Counter[datetime]:
        """Quantities by the start of their bucket."""
        found: Counter[datetime] = Counter()
        for at, quantity in UsageBucket.objects.filter(tenant=tenant, meter=meter).values_list(
            "bucket_start", "quantity"
        ):
            found[at.astimezone(UTC)] += int(quantity)
        return found
