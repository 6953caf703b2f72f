"""Two people who edit one draft of a rate card notice each other."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0007_more_document_formats")]

    operations = [
        migrations.AddField(model_name="ratecard", name="version", field=models.PositiveIntegerField(default=1)),
    ]
