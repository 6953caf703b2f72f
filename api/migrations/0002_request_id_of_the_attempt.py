"""What a crashed attempt did is found in the audit trail by its request id."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("api", "0001_idempotent_requests"),
    ]

    operations = [
        migrations.AddField(
            model_name="idempotentrequest",
            name="request_id",
            field=models.CharField(default="", max_length=64),
        ),
    ]
