"""What an update changed is summed from both sides instead of joined.

The join of the rows before and after was planned once per session, for the few rows of its first call, and looped over
all pairs when a seal marked a hundred thousand rows.
"""

import hashlib

from django.db import migrations

ROLLUP_LOCK = int.from_bytes(hashlib.sha256(b"metering.rollups").digest()[:8], "big", signed=True)
FOLLOW_CHANGES = f"""
CREATE OR REPLACE FUNCTION metering_roll_up_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared({ROLLUP_LOCK});
    WITH changed AS (
        SELECT tenant_id, bucket_start, meter, line, adapter_version, source, sum(quantity) AS quantity
        FROM (SELECT tenant_id, bucket_start, meter, line, adapter_version, source, quantity FROM after
              UNION ALL
              SELECT tenant_id, bucket_start, meter, line, adapter_version, source, -quantity FROM before) both_sides
        GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(quantity) <> 0
    ), hours AS (
        INSERT INTO metering_hourdue (hour) SELECT DISTINCT date_trunc('hour', bucket_start, 'UTC') FROM changed
    )
    INSERT INTO metering_usageday AS d (tenant_id, day, meter, line, adapter_version, quantity)
    SELECT b.tenant_id, (b.bucket_start AT TIME ZONE z.timezone)::date, b.meter, b.line, b.adapter_version,
           sum(b.quantity)
    FROM changed b JOIN metering_rollupzone z ON z.tenant_id = b.tenant_id
    LEFT JOIN metering_metersource declared ON declared.meter = b.meter AND declared.starts_at <= b.bucket_start
        AND (declared.ends_at IS NULL OR declared.ends_at > b.bucket_start)
    WHERE CASE split_part(b.source, ':', 1) WHEN 'events' THEN coalesce(declared.kind, 'cloudwatch') = 'events'
        WHEN 'cloudwatch' THEN coalesce(declared.kind, 'cloudwatch') = 'cloudwatch' ELSE true END
    GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (tenant_id, day, meter, line, adapter_version) DO UPDATE SET quantity = d.quantity + EXCLUDED.quantity;
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("metering", "0007_scopes_by_account_and_region")]

    operations = [migrations.RunSQL(FOLLOW_CHANGES, migrations.RunSQL.noop)]
