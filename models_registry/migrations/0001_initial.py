"""Base models on offer, adapters with their versions and releases, and what was served when."""

import django.contrib.postgres.fields.ranges
import django.db.models.deletion
from django.db import migrations, models

import core.clock


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenants", "0002_assignments_never_overlap"),
    ]

    operations = [
        migrations.CreateModel(
            name="Adapter",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                ("name", models.SlugField(max_length=40)),
                ("next_number", models.PositiveIntegerField(default=1)),
                ("next_sequence", models.PositiveIntegerField(default=1)),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="adapters", to="tenants.tenant"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="AdapterVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                ("number", models.PositiveIntegerField(null=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("uploading", "Uploading"),
                            ("validating", "Validating"),
                            ("ready", "Ready"),
                            ("rejected", "Rejected"),
                            ("archived", "Archived"),
                        ],
                        default="uploading",
                        max_length=20,
                    ),
                ),
                ("parts", models.JSONField(default=list)),
                ("quarantine_cleared_at", models.DateTimeField(null=True)),
                ("artifact_key", models.CharField(blank=True, max_length=200)),
                ("sha256", models.CharField(blank=True, max_length=64)),
                ("size_bytes", models.PositiveBigIntegerField(null=True)),
                ("rank", models.PositiveIntegerField(null=True)),
                ("alpha", models.FloatField(null=True)),
                ("target_modules", models.JSONField(default=list)),
                ("findings", models.JSONField(default=list)),
                ("facts", models.JSONField(default=dict)),
                ("notes", models.TextField(blank=True)),
                ("metrics", models.JSONField(default=dict)),
                ("dataset_ref", models.CharField(blank=True, max_length=200)),
                ("uploaded_by", models.CharField(max_length=200)),
                ("decided_at", models.DateTimeField(null=True)),
                ("claimed_until", models.DateTimeField(null=True)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("waiting_reason", models.TextField(blank=True)),
                (
                    "adapter",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="versions",
                        to="models_registry.adapter",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "verbose_name": "adapter version",
            },
        ),
        migrations.AddField(
            model_name="adapter",
            name="latest_version",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="models_registry.adapterversion",
            ),
        ),
        migrations.AddField(
            model_name="adapter",
            name="live_version",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="models_registry.adapterversion",
            ),
        ),
        migrations.CreateModel(
            name="FoundationModel",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                ("name", models.CharField(max_length=80)),
                ("revision", models.CharField(blank=True, max_length=80)),
                ("config", models.JSONField()),
                ("family", models.CharField(max_length=40)),
                ("layers", models.PositiveIntegerField()),
                ("hidden_size", models.PositiveIntegerField()),
                ("attention_heads", models.PositiveIntegerField()),
                ("key_value_heads", models.PositiveIntegerField()),
                ("head_dim", models.PositiveIntegerField()),
                ("vocabulary_size", models.PositiveIntegerField()),
                ("context_length", models.PositiveIntegerField(null=True)),
                ("model_data_uri", models.CharField(max_length=1024)),
            ],
            options={
                "ordering": ["name", "revision"],
                "constraints": [models.UniqueConstraint(fields=("name", "revision"), name="foundation_model_unique")],
            },
        ),
        migrations.AddField(
            model_name="adapter",
            name="foundation_model",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="adapters",
                to="models_registry.foundationmodel",
            ),
        ),
        migrations.CreateModel(
            name="Release",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[("release", "Release"), ("roll_back", "Roll back"), ("withdraw", "Withdraw")],
                        max_length=20,
                    ),
                ),
                ("sequence", models.PositiveIntegerField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("live", "Live"),
                            ("refused", "Refused"),
                            ("superseded", "Superseded"),
                        ],
                        default="pending",
                        max_length=20,
                    ),
                ),
                ("refusal_code", models.CharField(blank=True, max_length=60)),
                ("refusal_detail", models.TextField(blank=True)),
                ("evidence", models.JSONField(default=dict)),
                ("reason", models.TextField(blank=True)),
                ("requested_by", models.CharField(max_length=200)),
                ("requested_at", models.DateTimeField(default=core.clock.now)),
                ("live_at", models.DateTimeField(null=True)),
                (
                    "adapter",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="releases",
                        to="models_registry.adapter",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="releases",
                        to="models_registry.adapterversion",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ServedInterval",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("during", django.contrib.postgres.fields.ranges.DateTimeRangeField()),
                (
                    "adapter",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="served", to="models_registry.adapter"
                    ),
                ),
                (
                    "release",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="served", to="models_registry.release"
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="served",
                        to="models_registry.adapterversion",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ServingProfile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(editable=False, max_length=40, unique=True)),
                ("created_at", models.DateTimeField(default=core.clock.now, editable=False)),
                ("name", models.SlugField(max_length=60, unique=True)),
                ("image", models.CharField(max_length=255)),
                ("engine", models.CharField(max_length=40)),
                ("max_lora_rank", models.PositiveIntegerField()),
                ("max_loras", models.PositiveIntegerField()),
                ("accelerators", models.PositiveIntegerField()),
                ("min_memory_mb", models.PositiveIntegerField()),
                ("environment", models.JSONField(default=dict)),
                (
                    "foundation_model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="serving_profiles",
                        to="models_registry.foundationmodel",
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.AddField(
            model_name="adapter",
            name="serving_profile",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="adapters",
                to="models_registry.servingprofile",
            ),
        ),
        migrations.AddIndex(
            model_name="adapterversion",
            index=models.Index(fields=["adapter", "-id"], name="version_by_adapter"),
        ),
        migrations.AddIndex(
            model_name="adapterversion",
            index=models.Index(
                condition=models.Q(("state__in", ["uploading", "validating"])),
                fields=["state"],
                name="version_undecided",
            ),
        ),
        migrations.AddConstraint(
            model_name="adapterversion",
            constraint=models.UniqueConstraint(fields=("adapter", "number"), name="version_number_unique"),
        ),
        migrations.AddConstraint(
            model_name="adapterversion",
            constraint=models.UniqueConstraint(fields=("adapter", "id"), name="version_of_adapter"),
        ),
        migrations.AddConstraint(
            model_name="adapterversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["uploading", "validating", "ready", "rejected", "archived"])),
                name="version_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="adapterversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        models.Q(("sha256", ""), _negated=True),
                        models.Q(("artifact_key", ""), _negated=True),
                        ("number__isnull", False),
                        ("rank__isnull", False),
                        ("size_bytes__isnull", False),
                        ("state__in", ["ready", "archived"]),
                    ),
                    models.Q(("number__isnull", True), ("state__in", ["uploading", "validating", "rejected"])),
                    _connector="OR",
                ),
                name="version_numbered_when_ready",
            ),
        ),
        migrations.AddConstraint(
            model_name="release",
            constraint=models.UniqueConstraint(fields=("adapter", "sequence"), name="release_sequence_unique"),
        ),
        migrations.AddConstraint(
            model_name="release",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "live")), fields=("adapter",), name="release_one_live"
            ),
        ),
        migrations.AddConstraint(
            model_name="release",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["pending", "live", "refused", "superseded"])),
                name="release_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="release",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "withdraw"), ("version__isnull", True)),
                    models.Q(("kind__in", ["release", "roll_back"]), ("version__isnull", False)),
                    _connector="OR",
                ),
                name="release_has_version",
            ),
        ),
        migrations.AddConstraint(
            model_name="adapter",
            constraint=models.UniqueConstraint(fields=("tenant", "name"), name="adapter_name_unique"),
        ),
        migrations.AddConstraint(
            model_name="adapter",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="adapter_of_tenant"),
        ),
    ]
