"""Documents are kept as XLSX, JSON and FOCUS too."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_ledgers_never_change")]

    operations = [
        migrations.AlterField(
            model_name="invoicedocument",
            name="format",
            field=models.CharField(
                choices=[("pdf", "PDF"), ("csv", "CSV"), ("xlsx", "XLSX"), ("json", "JSON"), ("focus", "FOCUS 1.2")],
                max_length=8,
            ),
        ),
    ]
