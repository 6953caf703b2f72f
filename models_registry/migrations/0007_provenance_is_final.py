"""Where a ready version came from never changes either; a replacement is a version of the same adapter."""

from django.db import migrations

from core.triggers import frozen_columns

VERSION = "models_registry_adapterversion"
FINAL = [
    "public_id",
    "adapter_id",
    "tenant_id",
    "number",
    "artifact_key",
    "sha256",
    "size_bytes",
    "rank",
    "alpha",
    "target_modules",
    "findings",
    "facts",
    "notes",
    "metrics",
    "dataset_ref",
    "uploaded_by",
    "decided_at",
]
PROVENANCE = ["base_revision", "training_job", "source_uri", "uploaded_by_ref"]
BEFORE = frozen_columns(VERSION, FINAL, when="OLD.state IN ('ready', 'archived')")
AFTER = frozen_columns(VERSION, [*FINAL, *PROVENANCE], when="OLD.state IN ('ready', 'archived')")


class Migration(migrations.Migration):
    dependencies = [("models_registry", "0006_approval_provenance_and_retirement")]

    operations = [
        migrations.RunSQL(BEFORE.reverse_sql, BEFORE.sql),
        AFTER,
        migrations.RunSQL(
            f"ALTER TABLE {VERSION} ADD CONSTRAINT version_replaced_by_sibling FOREIGN KEY (adapter_id, replacement_id) "
            f"REFERENCES {VERSION} (adapter_id, id) DEFERRABLE INITIALLY DEFERRED",
            f"ALTER TABLE {VERSION} DROP CONSTRAINT version_replaced_by_sibling",
        ),
    ]
