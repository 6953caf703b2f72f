"""Each upload counts its tenant's undecided ones; the index was of all tenants' together."""

from django.db import migrations, models

UNDECIDED = models.Q(state__in=["uploading", "importing", "validating"])


class Migration(migrations.Migration):
    dependencies = [("models_registry", "0009_waiting_for_approval"), ("tenants", "0006_approval_by_tier")]

    operations = [
        migrations.RemoveIndex(model_name="adapterversion", name="version_undecided"),
        migrations.AddIndex(
            model_name="adapterversion",
            index=models.Index(fields=["tenant", "state"], name="version_undecided", condition=UNDECIDED),
        ),
    ]
