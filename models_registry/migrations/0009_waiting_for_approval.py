"""What waits for approval is found without reading every version."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("models_registry", "0008_adapter_upload")]

    operations = [
        migrations.AddIndex(
            model_name="adapterversion",
            index=models.Index(
                condition=models.Q(("approval", "pending"), ("state", "ready")),
                fields=["id"],
                name="version_waits_for_approval",
            ),
        ),
    ]
