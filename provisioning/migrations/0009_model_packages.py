"""Groups and packages of SageMaker's model registry among the resources."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("provisioning", "0008_tier_changes_and_holds"),
    ]

    operations = [
        migrations.AddField(
            model_name="managedresource",
            name="shown",
            field=models.JSONField(default=dict),
        ),
        migrations.AlterField(
            model_name="managedresource",
            name="kind",
            field=models.CharField(
                choices=[
                    ("model", "Model"),
                    ("endpoint_config", "Endpoint config"),
                    ("endpoint", "Endpoint"),
                    ("base_component", "Base component"),
                    ("adapter_component", "Adapter component"),
                    ("model_package_group", "Model package group"),
                    ("model_package", "Model package"),
                ],
                max_length=20,
            ),
        ),
    ]
