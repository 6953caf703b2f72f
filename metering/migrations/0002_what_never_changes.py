"""Revisions, seals and claims only grow; buckets lie on their grid; what was claimed of a bucket is what seals say."""

from django.db import migrations

from core.triggers import append_only

ALIGNED = """
ALTER TABLE metering_usagebucket ADD CONSTRAINT usage_bucket_aligned
    CHECK (extract(epoch FROM bucket_start)::bigint % bucket_seconds = 0
       AND extract(epoch FROM bucket_start) = trunc(extract(epoch FROM bucket_start)));
ALTER TABLE metering_collectionwindow ADD CONSTRAINT window_is_an_hour
    CHECK (ends_at = starts_at + interval '1 hour' AND extract(epoch FROM starts_at)::numeric % 3600 = 0);
"""
FREE = """
ALTER TABLE metering_usagebucket DROP CONSTRAINT usage_bucket_aligned;
ALTER TABLE metering_collectionwindow DROP CONSTRAINT window_is_an_hour;
"""


class Migration(migrations.Migration):
    dependencies = [("metering", "0001_initial")]

    operations = [
        append_only("metering_usagerevision"),
        append_only("metering_seal"),
        append_only("metering_sealedbucket"),
        migrations.RunSQL(ALIGNED, FREE),
    ]
