"""The rows that `bench.provisioning` works on: adapter components on one base, and the bare queue beside them."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

ACCOUNT, REGION = "123456789012", "us-west-2"
ENDPOINT, BASE = "local-endpoint-bench-00000000-1", "local-base-bench-00000000-1"
ARTIFACT_KEY = "bench/adapter.tar.gz"
ARTIFACT = f"s3://{os.environ.get('CP_ARTIFACT_BUCKET', '')}/{ARTIFACT_KEY}"
CREATED = datetime(2026, 1, 5, tzinfo=UTC)

BARE_QUEUE = """
CREATE TABLE bench_queue (id bigint PRIMARY KEY, state text NOT NULL, due_at timestamptz NOT NULL,
    lease_until timestamptz);
CREATE INDEX bench_queue_due ON bench_queue (due_at, id) WHERE state <> 'gone';
INSERT INTO bench_queue SELECT n, 'ready', now(), NULL FROM generate_series(1, %s) n;
VACUUM ANALYZE bench_queue;
"""
BARE_CLAIM = """
UPDATE bench_queue SET lease_until = now() + interval '120 s' WHERE id IN (
    SELECT id FROM bench_queue WHERE state <> 'gone' AND due_at <= now() AND lease_until IS NULL
    ORDER BY due_at, id LIMIT %s FOR UPDATE SKIP LOCKED
) RETURNING id
"""
BARE_COMPLETE = "UPDATE bench_queue SET lease_until = NULL, due_at = now() + interval '10 min' WHERE id = ANY(%s)"


def name_of(number: int) -> str:
    """A component's name, as long as ours are."""
    return f"local-adapter-tenant-{number:06d}-adapter-00000000-1"


def arn_of(name: str) -> str:
    """What AWS calls a component of that name."""
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:inference-component/{name}"


def make_rows(count: int, *, phase: str) -> None:
    """A base component in service, and `count` adapter components on it, wished or ready; none is due yet."""
    from provisioning.models import ManagedResource
    from provisioning.specs import digest

    clear_rows()
    parent = _row(0, kind="base_component", name=BASE, phase="ready", identity={}, settings={"copies": 1})
    parent.save()
    identity = {"endpoint_name": ENDPOINT, "base_component_name": BASE, "artifact_url": ARTIFACT}
    rows = [
        _row(number, kind="adapter_component", name=name_of(number), phase=phase, identity=identity, settings={})
        for number in range(1, count + 1)
    ]
    for row in rows:
        row.digest = digest({"identity": identity, "settings": {}})
    made = ManagedResource.objects.bulk_create(rows, batch_size=1000)
    needs = ManagedResource.needs.through
    needs.objects.bulk_create(
        [needs(from_managedresource_id=row.pk, to_managedresource_id=parent.pk) for row in made], batch_size=5000
    )
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE provisioning_managedresource, provisioning_managedresource_needs")


def clear_rows() -> None:
    """None left, with what was told of them."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE provisioning_managedresource, events_outbox CASCADE")


def make_due() -> None:
    """All adapters are due, none is leased; the table as it is after a while of such work, vacuumed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE provisioning_managedresource SET look_again_at = now(), lease_until = NULL, lease_owner = NULL "
            "WHERE kind = 'adapter_component'"
        )
        cursor.execute("VACUUM provisioning_managedresource")


def picture() -> tuple[int, int, int]:
    """How many adapters are ready, the most failures of one, and how many resources were told as stuck."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FILTER (WHERE phase = 'ready'), coalesce(max(failures), 0), "
            "(SELECT count(*) FROM events_event WHERE name = 'resource.stuck') "
            "FROM provisioning_managedresource WHERE kind = 'adapter_component'"
        )
        ready, failures, stuck = cursor.fetchone()
        return ready, failures, stuck


def make_bare_queue(count: int) -> None:
    """The floor's table with as many rows."""
    with connection.cursor() as cursor:
        for statement in BARE_QUEUE.split(";")[:-1]:
            cursor.execute(statement, [count] if "%s" in statement else None)


def make_bare_due() -> None:
    """All of them are due again; vacuumed too."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE bench_queue SET due_at = now(), lease_until = NULL")
        cursor.execute("VACUUM bench_queue")


def work_off_bare(batch: int) -> int:
    """Claim and complete in batches until none is due; how many it were."""
    done = 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(BARE_CLAIM, [batch])
            claimed = [pk for (pk,) in cursor.fetchall()]
            if not claimed:
                return done
            cursor.execute(BARE_COMPLETE, [claimed])
            done += len(claimed)


def _row(number: int, *, kind: str, name: str, phase: str, identity: dict[str, Any], settings: dict[str, Any]) -> Any:
    from provisioning.models import ManagedResource

    is_ready = phase == "ready"
    return ManagedResource(
        look_again_at=datetime.now(UTC) + timedelta(days=1), kind=kind,
        slot=f"bench/{number}", slug="bench", account=ACCOUNT, region=REGION, name=name, incarnation=1,
        identity=identity, identity_digest=f"{number:064d}", settings=settings, digest=f"{number:064d}", phase=phase,
        arn=arn_of(name) if is_ready else "", aws_status="InService" if is_ready else "",
        observed_generation=1 if is_ready else 0, ready_at=CREATED if is_ready else None,
    )  # fmt: skip
