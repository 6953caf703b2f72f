"""A ready version never changes; a release's decision never changes, only its state; nobody's child is another's."""

from django.db import migrations

from core.triggers import frozen_columns


def foreign_key(table: str, name: str, columns: str, target: str, target_columns: str) -> migrations.RunSQL:
    """A composite key, deferred like Django's own."""
    return migrations.RunSQL(
        f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({columns}) REFERENCES {target} ({target_columns}) "
        "DEFERRABLE INITIALLY DEFERRED",
        f"ALTER TABLE {table} DROP CONSTRAINT {name}",
    )


ADAPTER, VERSION, RELEASE = "models_registry_adapter", "models_registry_adapterversion", "models_registry_release"


class Migration(migrations.Migration):
    dependencies = [("models_registry", "0001_initial")]

    operations = [
        foreign_key(VERSION, "version_of_tenants_adapter", "tenant_id, adapter_id", ADAPTER, "tenant_id, id"),
        foreign_key(RELEASE, "release_of_adapters_version", "adapter_id, version_id", VERSION, "adapter_id, id"),
        foreign_key(ADAPTER, "latest_is_of_adapter", "id, latest_version_id", VERSION, "adapter_id, id"),
        foreign_key(ADAPTER, "live_is_of_adapter", "id, live_version_id", VERSION, "adapter_id, id"),
        frozen_columns(
            VERSION,
            [
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
            ],
            when="OLD.state IN ('ready', 'archived')",
        ),
        frozen_columns(
            RELEASE,
            ["public_id", "adapter_id", "version_id", "kind", "sequence", "reason", "requested_by", "requested_at"],
        ),
    ]
