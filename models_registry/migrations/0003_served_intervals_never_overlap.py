"""At any instant at most one version of an adapter is served."""

from django.db import migrations

# int8range instead of a plain column, because btree_gist is an extension and the schema must need none.
NO_OVERLAP = """
    ALTER TABLE models_registry_servedinterval ADD CONSTRAINT served_interval_no_overlap
        EXCLUDE USING gist (int8range(adapter_id, adapter_id, '[]') WITH =, during WITH &&);
    ALTER TABLE models_registry_servedinterval ADD CONSTRAINT served_interval_not_empty CHECK (NOT isempty(during));
    ALTER TABLE models_registry_servedinterval ADD CONSTRAINT served_interval_of_adapters_version
        FOREIGN KEY (adapter_id, version_id) REFERENCES models_registry_adapterversion (adapter_id, id)
        DEFERRABLE INITIALLY DEFERRED;
"""
UNDO = """
    ALTER TABLE models_registry_servedinterval DROP CONSTRAINT served_interval_of_adapters_version;
    ALTER TABLE models_registry_servedinterval DROP CONSTRAINT served_interval_not_empty;
    ALTER TABLE models_registry_servedinterval DROP CONSTRAINT served_interval_no_overlap;
"""


class Migration(migrations.Migration):
    dependencies = [("models_registry", "0002_versions_and_releases_are_final")]

    operations = [migrations.RunSQL(NO_OVERLAP, UNDO)]
