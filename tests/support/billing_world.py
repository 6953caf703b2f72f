"""Tenants at chosen instants with usage in chosen buckets, for tests of billing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from core import clock
from core.periods import billing_month, bucket_seconds
from metering.models import CollectionWindow, UsageBucket, UsageRevision
from metering.partitions import make_months
from metering.services.enrolment import open_windows
from metering.states import WindowState
from tenants.models import Tenant
from tenants.services.onboarding import activate_tenant, begin_provisioning
from tests.factories import TESTER, make_tenant

OCTOBER = billing_month(2026, 10, "UTC")
SEPTEMBER_15 = datetime(2026, 9, 15, 10, 30, tzinfo=UTC)


def read_everything() -> None:
    """Every hour until now was read for the last time; what the tests put into buckets is what was found."""
    open_windows(as_of=clock.now())
    CollectionWindow.objects.update(state=WindowState.SETTLED, reads=4, due_at=None, fetched_at=clock.now())


@dataclass(frozen=True)
class World:
    """Makes tenants as of a chosen instant, and usage in October."""

    set_clock: Callable[[datetime], None]

    def tenant(self, *, tier: str = "basic", since: datetime = SEPTEMBER_15, **details: Any) -> Tenant:
        """An active tenant that signed up and was activated at `since`."""
        [tenant] = self.tenants(1, tier=tier, since=since, **details)
        return tenant

    def tenants(
        self, count: int, *, tier: str = "basic", since: datetime = SEPTEMBER_15, **details: Any
    ) -> list[Tenant]:
        """Many of them; their hours are read once for all."""
        self.set_clock(since)
        made = [make_tenant(tier_key=tier, **details) for _ in range(count)]
        for tenant in made:
            begin_provisioning(tenant_id=tenant.pk, actor=TESTER)
        active = [activate_tenant(tenant_id=tenant.pk, actor=TESTER) for tenant in made]
        self.set_clock(OCTOBER.end + timedelta(hours=73))
        read_everything()
        return active

    def use(
        self,
        tenant: Tenant,
        meter: str,
        quantity: int,
        *,
        at: datetime = datetime(2026, 10, 7, 14, tzinfo=UTC),
        line: str = "pooled",
        version: str = "adv_1",
    ) -> UsageBucket:
        """Set the usage of one bucket, as the collector does: a new revision when it was there."""
        key = {
            "tenant": tenant,
            "meter": meter,
            "line": line,
            "adapter_version": version,
            "bucket_start": at,
            "bucket_seconds": bucket_seconds(tenant.billing_timezone),
        }
        now = datetime(2026, 10, 7, 15, 20, tzinfo=UTC)
        source = "ledger" if meter == "endpoint_seconds" else "cloudwatch:us-west-2:ControlPlane/DataPlane"
        make_months([at])
        bucket, is_new = UsageBucket.objects.get_or_create(
            **key, defaults={"quantity": quantity, "source": source, "fetched_at": now, "request_id": "req-1"}
        )
        if not is_new:
            UsageRevision.objects.create(
                bucket=bucket,
                bucket_start=at,
                revision=bucket.revision,
                quantity=bucket.quantity,
                fetched_at=bucket.fetched_at,
                request_id=bucket.request_id,
            )
            bucket.revision += 1
            bucket.quantity = quantity
            bucket.request_id = f"req-{bucket.revision}"
            bucket.save(update_fields=["revision", "quantity", "request_id"])
        return bucket

    def use_many(self, tenant: Tenant, quantities: Mapping[tuple[str, datetime], int]) -> None:
        """Set many new buckets of one adapter version on the pooled line, by meter and start."""
        now = datetime(2026, 11, 1, 0, 20, tzinfo=UTC)
        make_months(at for _meter, at in quantities)
        UsageBucket.objects.bulk_create(
            UsageBucket(
                tenant=tenant,
                meter=meter,
                line="pooled",
                adapter_version="adv_1",
                bucket_start=at,
                bucket_seconds=bucket_seconds(tenant.billing_timezone),
                quantity=quantity,
                source="cloudwatch:us-west-2:ControlPlane/DataPlane",
                fetched_at=now,
                request_id="req-1",
            )
            for (meter, at), quantity in quantities.items()
        )
