"""What CloudWatch answered is kept as a digest, so that a line of an invoice leads to evidence."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("metering", "0002_what_never_changes")]

    operations = [
        migrations.CreateModel(
            name="SourceAnswer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("request_id", models.CharField(max_length=200)),
                ("fetched_at", models.DateTimeField()),
                ("region", models.CharField(max_length=20)),
                ("span_start", models.DateTimeField()),
                ("span_end", models.DateTimeField()),
                ("queries", models.PositiveIntegerField()),
                ("sha256", models.CharField(max_length=64)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("request_id", "fetched_at"), name="source_answer_unique")
                ],
            },
        ),
    ]
