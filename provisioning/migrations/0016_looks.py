from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("provisioning", "0015_degrades")]

    operations = [
        migrations.AddField("managedresource", "aws_modified_at", models.DateTimeField(null=True)),
        # A claim takes rows in the order of both columns; rows that share an instant would be sorted for each claim.
        migrations.AddIndex(
            "managedresource",
            models.Index(
                fields=["look_again_at", "id"],
                name="resource_next",
                condition=models.Q(("phase", "gone"), _negated=True),
            ),
        ),
        migrations.RemoveIndex("managedresource", "resource_due"),
    ]
