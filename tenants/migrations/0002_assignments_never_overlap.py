"""A tenant is on one tier at a time; and a published tier version never changes."""

from django.db import migrations

from core.triggers import frozen_columns

# int8range instead of a plain column, because btree_gist is an extension and the schema must need none.
NO_OVERLAP = """
    ALTER TABLE tenants_tierassignment ADD CONSTRAINT tier_assignment_no_overlap
        EXCLUDE USING gist (int8range(tenant_id, tenant_id, '[]') WITH =, period WITH &&)
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_initial")]

    operations = [
        migrations.RunSQL(NO_OVERLAP, "ALTER TABLE tenants_tierassignment DROP CONSTRAINT tier_assignment_no_overlap"),
        frozen_columns(
            "tenants_tierversion",
            [
                "tier_id",
                "number",
                "isolation",
                "max_adapters",
                "max_adapter_bytes",
                "max_lora_rank",
                "keep_previous_warm",
                "warm_window_hours",
                "published_at",
            ],
            when="OLD.published_at IS NOT NULL",
        ),
    ]
