"""The mirror of a leaving tenant's adapters goes by a step of its own; departures under way get it too."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def add_step(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """To every departure that still waits for its resources."""
    Step = apps.get_model("tenants", "OffboardingStep")
    for step in Step.objects.filter(key="resources", done_at=None):
        Step.objects.get_or_create(tenant_id=step.tenant_id, key="registry")


class Migration(migrations.Migration):
    dependencies = [("tenants", "0006_approval_by_tier")]

    operations = [
        migrations.AlterField(
            model_name="offboardingstep",
            name="key",
            field=models.CharField(
                choices=[
                    ("access", "Access revoked"),
                    ("registry", "Model packages deleted in AWS"),
                    ("resources", "Resources deleted in AWS"),
                    ("final_invoice", "Final invoice issued"),
                    ("artifacts", "Artifacts erased"),
                ],
                max_length=20,
            ),
        ),
        migrations.RunPython(add_step, migrations.RunPython.noop),
    ]
