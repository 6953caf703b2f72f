"""Where a tenant's models may run; none named means anywhere, as it was for everybody before."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0004_promises_of_suspension_and_retention")]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="allowed_regions",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=20), default=list, size=None
            ),
        ),
    ]
