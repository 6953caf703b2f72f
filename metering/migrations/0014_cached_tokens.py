"""Two more meters: tokens of prompts that were read from a cache, and that were written to one."""

from django.db import migrations, models

METERS = [
    ("input_tokens", "Input tokens"),
    ("output_tokens", "Output tokens"),
    ("cached_input_tokens", "Cached input tokens"),
    ("cache_write_input_tokens", "Cache write input tokens"),
    ("requests", "Requests"),
    ("busy_milliseconds", "Busy time"),
    ("endpoint_seconds", "Endpoint time"),
    ("copy_seconds", "Model copy time"),
    ("adapter_seconds", "Adapter time"),
    ("stored_byte_hours", "Stored adapters"),
]
KNOWN = {"metersource": "meter_source_meter_known", "usagebucket": "usage_bucket_meter_known"}
PLAIN = ("metersource", "parkedpoint", "sealedday", "usagebucket", "usageday", "usagehour", "usageseries")


class Migration(migrations.Migration):
    dependencies = [
        ("metering", "0013_estimates_stand_in_for_cloudwatch"),
    ]

    operations = [
        *[migrations.RemoveConstraint(model_name=model, name=name) for model, name in KNOWN.items()],
        *[
            migrations.AlterField(model_name=model, name="meter", field=models.CharField(choices=METERS, max_length=30))
            for model in PLAIN
        ],
        migrations.AlterField(
            model_name="metertolerance",
            name="meter",
            field=models.CharField(choices=METERS, max_length=30, unique=True),
        ),
        *[
            migrations.AddConstraint(
                model_name=model,
                constraint=models.CheckConstraint(
                    condition=models.Q(meter__in=[meter for meter, _ in METERS]), name=name
                ),
            )
            for model, name in KNOWN.items()
        ],
    ]
