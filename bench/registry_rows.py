"""10,000 adapters with 100,000 versions, made in the database: in ours as the services leave them, in MLflow's as it
does."""

ADAPTERS, VERSIONS_EACH, TENANTS = 10_000, 10, 500
MANY = 1_000
"""Versions of one adapter among the others."""

OURS = f"""
INSERT INTO tenants_tenant
SELECT (jsonb_populate_record(t, jsonb_build_object('id', t.id + n, 'public_id', 'ten_' || lpad(n::text, 26, '0'),
    'name', 'Bench ' || n, 'slug', 'bench-' || n, 'external_id', NULL))).*
FROM tenants_tenant t, generate_series(1, {TENANTS}) n;

INSERT INTO models_registry_adapter (public_id, created_at, tenant_id, foundation_model_id, serving_profile_id, name,
    description, tags, outside_approvals, next_number, next_sequence)
SELECT 'adp_' || lpad(n::text, 26, '0'), now(), t.id, p.foundation_model_id, p.id, 'model-' || n, '',
    '{{"team": "support"}}', 'undo', {VERSIONS_EACH} + 1, 3
FROM generate_series(1, {ADAPTERS}) n
JOIN tenants_tenant t ON t.slug = 'bench-' || n % {TENANTS} + 1,
    (SELECT * FROM models_registry_servingprofile ORDER BY id DESC LIMIT 1) p;

INSERT INTO models_registry_adapterversion (public_id, created_at, adapter_id, tenant_id, number, state, parts,
    quarantine_cleared_at, artifact_key, sha256, size_bytes, rank, alpha, target_modules, findings, facts, notes,
    metrics, dataset_ref, base_revision, training_job, source_uri, uploaded_by, uploaded_by_ref, decided_at, attempts,
    waiting_reason, approval, approval_policy, approval_by, approval_by_ref, approval_reason, retirement_reason,
    retirement_told)
SELECT 'adv_' || lpad(a.id::text, 18, '0') || lpad(n::text, 8, '0'), now(), a.id, a.tenant_id, n, 'ready',
    '[{{"name": "adapter_config.json", "size": 731}}, {{"name": "adapter_model.safetensors", "size": 83945296}}]',
    now(), 'tenants/x/adapters/' || a.id || '-' || n, md5(a.id || '-' || n) || md5(n || '-' || a.id), 83945296, 16, 32,
    '["q_proj", "k_proj", "v_proj", "o_proj"]', '[]', '{{"tensors": 224, "dtype": "BF16"}}', 'nightly',
    '{{"loss": 0.4}}', 'set-7', '', 'run-' || n, '', 'bench', 'bench', now(), 1, '', 'not_required', 'none', '', '', '',
    '', ''
FROM models_registry_adapter a,
    LATERAL generate_series(1, CASE a.name WHEN 'model-1' THEN {MANY} ELSE {VERSIONS_EACH} END) n
ORDER BY a.id, n;

UPDATE models_registry_adapter SET next_number = {MANY} + 1 WHERE name = 'model-1';
UPDATE models_registry_adapter a SET latest_version_id = v.id, live_version_id = v.id
FROM models_registry_adapterversion v WHERE v.adapter_id = a.id AND v.number = a.next_number - 1;

INSERT INTO models_registry_release (public_id, created_at, adapter_id, version_id, kind, sequence, state, refusal_code,
    refusal_detail, evidence, reason, requested_by, requested_at, live_at)
SELECT 'rel_' || lpad(v.id::text, 26, '0'), now(), a.id, v.id, 'release', 3 - (a.next_number - v.number),
    CASE v.id WHEN a.live_version_id THEN 'live' ELSE 'superseded' END, '', '', '{{}}', 'nightly', 'bench', now(), now()
FROM models_registry_adapter a JOIN models_registry_adapterversion v ON v.adapter_id = a.id
WHERE v.number >= a.next_number - 2 ORDER BY v.id;

INSERT INTO models_registry_servedinterval (adapter_id, version_id, release_id, during)
SELECT r.adapter_id, r.version_id, r.id, CASE r.state
    WHEN 'live' THEN tstzrange(now() - interval '1 hour', NULL)
    ELSE tstzrange(now() - interval '1 day', now() - interval '1 hour') END
FROM models_registry_release r ORDER BY r.id;
"""

ANALYZE_OURS = """
VACUUM ANALYZE tenants_tenant, models_registry_adapter, models_registry_adapterversion, models_registry_release,
    models_registry_servedinterval
"""

MLFLOWS = f"""
INSERT INTO registered_models (workspace, name, creation_time, last_updated_time, description)
SELECT 'default', 'model-' || n, 1780000000000 + n, 1780000000000 + n, '' FROM generate_series(1, {ADAPTERS}) n;

INSERT INTO registered_model_tags (workspace, name, key, value)
SELECT workspace, name, 'team', 'support' FROM registered_models;

INSERT INTO model_versions (workspace, name, version, creation_time, last_updated_time, description, user_id,
    current_stage, source, storage_location, run_id, run_link, status, status_message)
SELECT m.workspace, m.name, n, 1780000000000 + n, 1780000000000 + n, 'nightly', 'bench', 'None',
    's3://bucket/' || m.name || '/' || n, NULL, NULL, '', 'READY', NULL
FROM registered_models m,
    LATERAL generate_series(1, CASE m.name WHEN 'model-1' THEN {MANY} ELSE {VERSIONS_EACH} END) n;

INSERT INTO registered_model_aliases (workspace, name, alias, version)
SELECT workspace, name, 'live', {VERSIONS_EACH} FROM registered_models;
"""

ANALYZE_MLFLOWS = "VACUUM ANALYZE registered_models, registered_model_tags, model_versions, registered_model_aliases"
