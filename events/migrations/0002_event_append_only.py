"""What happened cannot be made not to have happened."""

from django.db import migrations

from core.triggers import append_only


class Migration(migrations.Migration):
    dependencies = [("events", "0001_initial")]

    operations = [append_only("events_event")]
