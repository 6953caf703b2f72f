"""How many copies served is part of when something served. What is there so far was one copy each."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("provisioning", "0013_limit_alerts"),
    ]

    operations = [
        migrations.AddField(
            model_name="resourceinterval",
            name="copies",
            field=models.PositiveIntegerField(db_default=1, default=1),
        ),
    ]
