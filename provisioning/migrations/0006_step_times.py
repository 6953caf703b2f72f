"""When a step began and of what kind it is, so that steps of a kind can be compared."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Older steps have neither and are not compared."""

    dependencies = [("provisioning", "0005_inventory")]

    operations = [
        migrations.AddField("operationstep", "kind", models.CharField(blank=True, default="", max_length=40)),
        migrations.AddField("operationstep", "began_at", models.DateTimeField(null=True)),
        migrations.AddIndex(
            "operationstep",
            models.Index(
                fields=["kind", "-done_at"],
                name="operation_step_timed",
                condition=models.Q(("began_at__isnull", False), ("done_at__isnull", False)),
            ),
        ),
    ]
