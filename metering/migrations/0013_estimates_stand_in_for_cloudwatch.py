"""An estimate stands in for what CloudWatch did not say, so it counts where CloudWatch counts and not beside events."""

from django.db import migrations

FOLLOW_THE_SOURCE = """
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['metering_roll_up_new', 'metering_roll_up_changed'] LOOP
        EXECUTE replace(pg_get_functiondef(name::regproc), 'WHEN ''cloudwatch'' THEN',
            'WHEN ''estimate'' THEN coalesce(declared.kind, ''cloudwatch'') = ''cloudwatch'' WHEN ''cloudwatch'' THEN');
    END LOOP;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("metering", "0012_months_dropped_estimates_and_order")]

    operations = [migrations.RunSQL(FOLLOW_THE_SOURCE)]
