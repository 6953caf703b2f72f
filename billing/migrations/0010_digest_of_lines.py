"""Closing an invoice reads its head only: the digest of its lines is kept from when they were written."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0009_exports")]

    operations = [
        migrations.AddField(
            model_name="invoice",
            name="lines_sha256",
            field=models.CharField(blank=True, default="", max_length=64),
            preserve_default=False,
        ),
    ]
