"""Revisions are the values that a bucket had before; the present one is the bucket itself.

Nearly every bucket has one value for ever, and writing it twice was a fifth of a first read.
"""

from django.db import migrations

FORGET_PRESENT = """
ALTER TABLE metering_usagerevision DISABLE TRIGGER metering_usagerevision_append_only;
DELETE FROM metering_usagerevision r USING metering_usagebucket b
    WHERE b.id = r.bucket_id AND b.bucket_start = r.bucket_start AND b.revision = r.revision;
ALTER TABLE metering_usagerevision ENABLE TRIGGER metering_usagerevision_append_only;
"""


class Migration(migrations.Migration):
    dependencies = [("metering", "0010_references_by_statement")]

    operations = [
        migrations.RunSQL(FORGET_PRESENT),
        migrations.RemoveField(model_name="usagerevision", name="delta"),
    ]
