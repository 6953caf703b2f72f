"""The bare SQL of each registry operation: what has to be read and written, and nothing else."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg

Work = Callable[[psycopg.Connection, str], None]

_COPIED = """
INSERT INTO models_registry_adapterversion (public_id, created_at, adapter_id, tenant_id, state, parts, target_modules,
    findings, facts, metrics, artifact_key, sha256, notes, dataset_ref, base_revision, training_job, source_uri,
    uploaded_by, uploaded_by_ref, attempts, waiting_reason, approval, approval_policy, approval_by, approval_by_ref,
    approval_reason, retirement_reason, retirement_told)
SELECT 'adv_' || left(md5(random()::text), 26), now(), id, tenant_id, 'importing', '[]', '[]', '[]', '{}', '{}', '', '',
    '', '', '', '', 's3://bench/run-7', 'floor', 'floor', 0, '', 'not_required', 'none', '', '', '', '', ''
FROM models_registry_adapter WHERE public_id = %(adapter)s
"""
_EVENT = """
WITH told AS (
    INSERT INTO events_event (public_id, created_at, name, tenant_ref, subject_type, subject_pk, subject_ref,
        actor_kind, actor_ref, actor_name, request_id, reason)
    VALUES ('evt_' || left(md5(random()::text), 26), now(), 'floor', '', '', 1, '', 'system', '', '', '', '')
    RETURNING id)
INSERT INTO events_outbox (event_id) SELECT id FROM told
"""
_LOCK = """
SELECT a.id, a.live_version_id FROM models_registry_adapter a JOIN tenants_tenant t ON t.id = a.tenant_id
WHERE a.public_id = %(adapter)s FOR NO KEY UPDATE
"""
_BACK = """
WITH taken AS (
    UPDATE models_registry_adapter SET next_sequence = next_sequence + 1 WHERE public_id = %(adapter)s
    RETURNING id, next_sequence - 1 AS sequence, live_version_id)
INSERT INTO models_registry_release (public_id, created_at, adapter_id, version_id, kind, sequence, state, refusal_code,
    refusal_detail, evidence, reason, requested_by, requested_at)
SELECT 'rel_' || left(md5(random()::text), 26), now(), id, (
        SELECT version_id FROM models_registry_servedinterval s
        WHERE s.adapter_id = taken.id AND s.version_id != live_version_id AND upper(during) IS NOT NULL
        ORDER BY during DESC LIMIT 1),
    'roll_back', sequence, 'pending', '', '', '{}', 'floor', 'floor', now() FROM taken
"""
_VERSIONS = """
SELECT v.* FROM models_registry_adapterversion v JOIN models_registry_adapter a ON a.id = v.adapter_id
WHERE a.public_id = %(adapter)s ORDER BY v.id DESC LIMIT 101
"""
_ADAPTERS = """
SELECT a.*, t.public_id, b.public_id, b.name, p.public_id, p.name, latest.public_id, latest.number, live.public_id,
    live.number
FROM models_registry_adapter a JOIN tenants_tenant t ON t.id = a.tenant_id
JOIN models_registry_foundationmodel b ON b.id = a.foundation_model_id
JOIN models_registry_servingprofile p ON p.id = a.serving_profile_id
LEFT JOIN models_registry_adapterversion latest ON latest.id = a.latest_version_id
LEFT JOIN models_registry_adapterversion live ON live.id = a.live_version_id
ORDER BY a.id DESC LIMIT 101
"""


def register(connection: psycopg.Connection, adapter: str) -> None:
    """A version's row, its event and its outbox row, in one transaction."""
    with connection.transaction():
        connection.execute(_COPIED, {"adapter": adapter})
        connection.execute(_EVENT)


def roll_back(connection: psycopg.Connection, adapter: str) -> None:
    """A lock, the release, its event and its outbox row, in one transaction."""
    with connection.transaction():
        connection.execute(_LOCK, {"adapter": adapter}).fetchone()
        connection.execute(_BACK, {"adapter": adapter})
        connection.execute(_EVENT)


def list_versions(connection: psycopg.Connection, adapter: str) -> None:
    """All columns of an adapter's versions."""
    connection.execute(_VERSIONS, {"adapter": adapter}).fetchall()


def list_adapters(connection: psycopg.Connection, adapter: str) -> None:
    """A hundred adapters with what each points at."""
    connection.execute(_ADAPTERS).fetchall()


def per_second(connections: Sequence[psycopg.Connection], work: Work, adapters: Sequence[str]) -> float:
    """How many of these adapters a second `work` does, each connection in a thread of its own."""
    waiting = iter(adapters)

    def one_after_another(connection: psycopg.Connection) -> None:
        while (adapter := next(waiting, None)) is not None:
            work(connection, adapter)

    began = time.perf_counter()
    with ThreadPoolExecutor(len(connections)) as pool:
        list(pool.map(one_after_another, connections))
    return len(adapters) / (time.perf_counter() - began)
