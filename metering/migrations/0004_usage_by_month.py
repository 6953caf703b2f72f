"""Usage by month, and its sums: buckets, revisions and claims become partitioned tables, roll-ups are kept by triggers.

A partitioned table needs the month in every unique key, so revisions and claims carry `bucket_start`. What is there is
copied. There is no way back: without the months nothing says which rows a retention had dropped.
"""

import hashlib
from datetime import UTC, datetime

import django.db.models.deletion
from django.db import migrations, models

import core.clock
from core.triggers import append_only

METERS = (
    "input_tokens", "output_tokens", "requests", "endpoint_seconds", "copy_seconds", "adapter_seconds",
    "stored_byte_hours",
)  # fmt: skip
MONTHS_BEFORE, MONTHS_AHEAD = 12, 3
TABLES = ("metering_usagebucket", "metering_usagerevision", "metering_sealedbucket")
ROLLUP_LOCK = int.from_bytes(hashlib.sha256(b"metering.rollups").digest()[:8], "big", signed=True)

SET_ASIDE = f"""
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE metering_usagebucket DROP CONSTRAINT usage_bucket_meter_known;
ALTER TABLE metering_usagebucket ADD CONSTRAINT usage_bucket_meter_known CHECK (meter IN {METERS});
ALTER TABLE metering_usagebucket RENAME TO metering_usagebucket_old;
ALTER TABLE metering_usagerevision RENAME TO metering_usagerevision_old;
ALTER TABLE metering_sealedbucket RENAME TO metering_sealedbucket_old;
CREATE SEQUENCE metering_usagebucket_ids;
CREATE SEQUENCE metering_usagerevision_ids;
CREATE SEQUENCE metering_sealedbucket_ids;
CREATE TABLE metering_usagebucket (LIKE metering_usagebucket_old INCLUDING CONSTRAINTS)
    PARTITION BY RANGE (bucket_start);
CREATE TABLE metering_usagerevision (LIKE metering_usagerevision_old INCLUDING CONSTRAINTS,
    bucket_start timestamptz NOT NULL) PARTITION BY RANGE (bucket_start);
CREATE TABLE metering_sealedbucket (LIKE metering_sealedbucket_old INCLUDING CONSTRAINTS,
    bucket_start timestamptz NOT NULL) PARTITION BY RANGE (bucket_start);
"""

COPY = """
INSERT INTO metering_usagebucket SELECT * FROM metering_usagebucket_old;
INSERT INTO metering_usagerevision SELECT r.*, b.bucket_start
    FROM metering_usagerevision_old r JOIN metering_usagebucket_old b ON b.id = r.bucket_id;
INSERT INTO metering_sealedbucket SELECT c.*, b.bucket_start
    FROM metering_sealedbucket_old c JOIN metering_usagebucket_old b ON b.id = c.bucket_id;
SELECT setval('metering_usagebucket_ids', coalesce(max(id), 0) + 1, false) FROM metering_usagebucket_old;
SELECT setval('metering_usagerevision_ids', coalesce(max(id), 0) + 1, false) FROM metering_usagerevision_old;
SELECT setval('metering_sealedbucket_ids', coalesce(max(id), 0) + 1, false) FROM metering_sealedbucket_old;
DROP TABLE metering_sealedbucket_old, metering_usagerevision_old, metering_usagebucket_old;
"""

KEYS = """
ALTER TABLE metering_usagebucket ALTER id SET DEFAULT nextval('metering_usagebucket_ids');
ALTER TABLE metering_usagerevision ALTER id SET DEFAULT nextval('metering_usagerevision_ids');
ALTER TABLE metering_sealedbucket ALTER id SET DEFAULT nextval('metering_sealedbucket_ids');
ALTER SEQUENCE metering_usagebucket_ids OWNED BY metering_usagebucket.id;
ALTER SEQUENCE metering_usagerevision_ids OWNED BY metering_usagerevision.id;
ALTER SEQUENCE metering_sealedbucket_ids OWNED BY metering_sealedbucket.id;
ALTER TABLE metering_usagebucket ADD PRIMARY KEY (id, bucket_start),
    ADD CONSTRAINT usage_bucket_unique UNIQUE (tenant_id, bucket_start, meter, line, adapter_version, source),
    ADD FOREIGN KEY (tenant_id) REFERENCES tenants_tenant (id) DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX usage_bucket_from_events ON metering_usagebucket (bucket_start, tenant_id) WHERE source = 'events';
ALTER TABLE metering_usagerevision ADD PRIMARY KEY (id, bucket_start),
    ADD CONSTRAINT usage_revision_unique UNIQUE (bucket_id, revision, bucket_start),
    ADD FOREIGN KEY (bucket_id, bucket_start) REFERENCES metering_usagebucket (id, bucket_start)
        DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE metering_sealedbucket ADD PRIMARY KEY (id, bucket_start),
    ADD CONSTRAINT sealed_bucket_once UNIQUE (bucket_id, bucket_revision, bucket_start),
    ADD FOREIGN KEY (seal_id) REFERENCES metering_seal (id) DEFERRABLE INITIALLY DEFERRED,
    ADD FOREIGN KEY (bucket_id, bucket_start) REFERENCES metering_usagebucket (id, bucket_start)
        DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX sealed_bucket_by_seal ON metering_sealedbucket (seal_id);
CREATE TRIGGER metering_usagerevision_append_only BEFORE UPDATE OR DELETE ON metering_usagerevision
    FOR EACH ROW EXECUTE FUNCTION metering_usagerevision_append_only();
CREATE TRIGGER metering_sealedbucket_append_only BEFORE UPDATE OR DELETE ON metering_sealedbucket
    FOR EACH ROW EXECUTE FUNCTION metering_sealedbucket_append_only();
"""

# Two sources may count a meter; one of them counts at any hour.
JOIN_SOURCE = """
LEFT JOIN metering_metersource declared ON declared.meter = b.meter AND declared.starts_at <= b.bucket_start
    AND (declared.ends_at IS NULL OR declared.ends_at > b.bucket_start)
"""
COUNTS = """
CASE split_part(b.source, ':', 1) WHEN 'events' THEN coalesce(declared.kind, 'cloudwatch') = 'events'
    WHEN 'cloudwatch' THEN coalesce(declared.kind, 'cloudwatch') = 'cloudwatch' ELSE true END
"""

# A change of a bucket is added to its day in the same transaction, so a sum is never behind or twice what it sums. A
# rebuild takes the lock alone, so that no change slips between its reading and its writing.
ADD_CHANGES = f"""
    INSERT INTO metering_rollupzone (tenant_id, timezone)
    SELECT t.id, t.billing_timezone FROM tenants_tenant t
    WHERE t.id IN (SELECT tenant_id FROM after) AND NOT EXISTS (
        SELECT 1 FROM metering_rollupzone z WHERE z.tenant_id = t.id)
    ORDER BY t.id ON CONFLICT DO NOTHING;
    INSERT INTO metering_hourdue (hour) SELECT DISTINCT date_trunc('hour', b.bucket_start, 'UTC') FROM (%(changed)s) b;
    INSERT INTO metering_usageday AS d (tenant_id, day, meter, line, adapter_version, quantity)
    SELECT b.tenant_id, (b.bucket_start AT TIME ZONE z.timezone)::date, b.meter, b.line, b.adapter_version,
           sum(b.quantity)
    FROM (%(changed)s) b JOIN metering_rollupzone z ON z.tenant_id = b.tenant_id {JOIN_SOURCE}
    WHERE {COUNTS} GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (tenant_id, day, meter, line, adapter_version) DO UPDATE SET quantity = d.quantity + EXCLUDED.quantity;
"""
INSERTED = ADD_CHANGES % {"changed": "SELECT * FROM after"}
UPDATED = ADD_CHANGES % {
    "changed": """SELECT after.tenant_id, after.bucket_start, after.meter, after.line, after.adapter_version,
        after.source, after.quantity - before.quantity AS quantity
        FROM after JOIN before USING (id, bucket_start) WHERE after.quantity <> before.quantity"""
}
ROLL_UP = f"""
CREATE FUNCTION metering_roll_up_new() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared({ROLLUP_LOCK});
    {INSERTED}
    RETURN NULL;
END $$;
CREATE FUNCTION metering_roll_up_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM after JOIN before USING (id, bucket_start) WHERE after.quantity <> before.quantity)
    THEN
        RETURN NULL;
    END IF;
    PERFORM pg_advisory_xact_lock_shared({ROLLUP_LOCK});
    {UPDATED}
    RETURN NULL;
END $$;
CREATE TRIGGER metering_roll_up_new AFTER INSERT ON metering_usagebucket
    REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION metering_roll_up_new();
CREATE TRIGGER metering_roll_up_changed AFTER UPDATE ON metering_usagebucket
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION metering_roll_up_changed();
"""

SUM_UP = """
INSERT INTO metering_rollupzone (tenant_id, timezone)
    SELECT id, billing_timezone FROM tenants_tenant WHERE id IN (SELECT tenant_id FROM metering_usagebucket);
INSERT INTO metering_usageday (tenant_id, day, meter, line, adapter_version, quantity)
    SELECT b.tenant_id, (b.bucket_start AT TIME ZONE z.timezone)::date, meter, line, adapter_version, sum(quantity)
    FROM metering_usagebucket b JOIN metering_rollupzone z ON z.tenant_id = b.tenant_id GROUP BY 1, 2, 3, 4, 5;
INSERT INTO metering_hourdue (hour) SELECT DISTINCT date_trunc('hour', bucket_start, 'UTC') FROM metering_usagebucket;
INSERT INTO metering_sealedday (seal_id, day, meter, line, adapter_version, quantity)
    SELECT c.seal_id, (b.bucket_start AT TIME ZONE t.billing_timezone)::date, b.meter, b.line, b.adapter_version,
           sum(c.quantity)
    FROM metering_sealedbucket c JOIN metering_usagebucket b ON b.id = c.bucket_id
    JOIN tenants_tenant t ON t.id = b.tenant_id GROUP BY 1, 2, 3, 4, 5;
"""


def partition(apps, schema_editor):
    """Copy everything into tables that have a partition for each of its months, and for those around today."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT date_trunc('month', bucket_start, 'UTC') FROM metering_usagebucket")
        used = [month.astimezone(UTC) for (month,) in cursor.fetchall()]
        cursor.execute(SET_ASIDE)
        today = core.clock.now()
        around = [month_after(today, count) for count in range(-MONTHS_BEFORE, MONTHS_AHEAD + 1)]
        for month in sorted({*used, *around}):
            for table in TABLES:
                name = f"{table}_{month:%Ym%m}"
                edges = (month.isoformat(), month_after(month, 1).isoformat())
                cursor.execute(f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM (%s) TO (%s)", edges)
        cursor.execute(COPY)
        cursor.execute(KEYS)


def month_after(at, count):
    """The first instant of the month `count` months after that of `at`."""
    whole = at.year * 12 + at.month - 1 + count
    return datetime(whole // 12, whole % 12 + 1, 1, tzinfo=UTC)


class Migration(migrations.Migration):
    dependencies = [
        ("metering", "0003_evidence_of_answers"),
        ("tenants", "0005_allowed_regions"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(partition)],
            state_operations=[
                migrations.RemoveConstraint(
                    model_name="sealedbucket",
                    name="sealed_bucket_once",
                ),
                migrations.RemoveConstraint(
                    model_name="usagebucket",
                    name="usage_bucket_meter_known",
                ),
                migrations.RemoveConstraint(
                    model_name="usagerevision",
                    name="usage_revision_unique",
                ),
                migrations.AddField(
                    model_name="sealedbucket",
                    name="bucket_start",
                    field=models.DateTimeField(default=None),
                    preserve_default=False,
                ),
                migrations.AddField(
                    model_name="usagerevision",
                    name="bucket_start",
                    field=models.DateTimeField(default=None),
                    preserve_default=False,
                ),
                migrations.AlterField(
                    model_name="sealedbucket",
                    name="bucket",
                    field=models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="claims",
                        to="metering.usagebucket",
                    ),
                ),
                migrations.AlterField(
                    model_name="usagebucket",
                    name="meter",
                    field=models.CharField(
                        choices=[
                            ("input_tokens", "Input tokens"),
                            ("output_tokens", "Output tokens"),
                            ("requests", "Requests"),
                            ("endpoint_seconds", "Endpoint time"),
                            ("copy_seconds", "Model copy time"),
                            ("adapter_seconds", "Adapter time"),
                            ("stored_byte_hours", "Stored adapters"),
                        ],
                        max_length=30,
                    ),
                ),
                migrations.AlterField(
                    model_name="usagerevision",
                    name="bucket",
                    field=models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="revisions",
                        to="metering.usagebucket",
                    ),
                ),
                migrations.AddConstraint(
                    model_name="sealedbucket",
                    constraint=models.UniqueConstraint(
                        fields=("bucket", "bucket_revision", "bucket_start"), name="sealed_bucket_once"
                    ),
                ),
                migrations.AddConstraint(
                    model_name="usagebucket",
                    constraint=models.CheckConstraint(
                        condition=models.Q(
                            (
                                "meter__in",
                                [
                                    "input_tokens",
                                    "output_tokens",
                                    "requests",
                                    "endpoint_seconds",
                                    "copy_seconds",
                                    "adapter_seconds",
                                    "stored_byte_hours",
                                ],
                            )
                        ),
                        name="usage_bucket_meter_known",
                    ),
                ),
                migrations.AddConstraint(
                    model_name="usagerevision",
                    constraint=models.UniqueConstraint(
                        fields=("bucket", "revision", "bucket_start"), name="usage_revision_unique"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="HourDue",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("hour", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="MeterSource",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "meter",
                    models.CharField(
                        choices=[
                            ("input_tokens", "Input tokens"),
                            ("output_tokens", "Output tokens"),
                            ("requests", "Requests"),
                            ("endpoint_seconds", "Endpoint time"),
                            ("copy_seconds", "Model copy time"),
                            ("adapter_seconds", "Adapter time"),
                            ("stored_byte_hours", "Stored adapters"),
                        ],
                        max_length=30,
                    ),
                ),
                (
                    "kind",
                    models.CharField(choices=[("cloudwatch", "CloudWatch"), ("events", "Usage events")], max_length=12),
                ),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="MeterTolerance",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "meter",
                    models.CharField(
                        choices=[
                            ("input_tokens", "Input tokens"),
                            ("output_tokens", "Output tokens"),
                            ("requests", "Requests"),
                            ("endpoint_seconds", "Endpoint time"),
                            ("copy_seconds", "Model copy time"),
                            ("adapter_seconds", "Adapter time"),
                            ("stored_byte_hours", "Stored adapters"),
                        ],
                        max_length=30,
                        unique=True,
                    ),
                ),
                ("parts_per_million", models.PositiveIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="RollupZone",
            fields=[
                (
                    "tenant",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="tenants.tenant",
                    ),
                ),
                ("timezone", models.CharField(max_length=64)),
            ],
        ),
        migrations.CreateModel(
            name="SealedDay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
                (
                    "meter",
                    models.CharField(
                        choices=[
                            ("input_tokens", "Input tokens"),
                            ("output_tokens", "Output tokens"),
                            ("requests", "Requests"),
                            ("endpoint_seconds", "Endpoint time"),
                            ("copy_seconds", "Model copy time"),
                            ("adapter_seconds", "Adapter time"),
                            ("stored_byte_hours", "Stored adapters"),
                        ],
                        max_length=30,
                    ),
                ),
                ("line", models.CharField(max_length=30)),
                ("adapter_version", models.CharField(blank=True, max_length=40)),
                ("quantity", models.DecimalField(decimal_places=0, max_digits=38)),
            ],
        ),
        migrations.CreateModel(
            name="UsageDay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
                (
                    "meter",
                    models.CharField(
                        choices=[
                            ("input_tokens", "Input tokens"),
                            ("output_tokens", "Output tokens"),
                            ("requests", "Requests"),
                            ("endpoint_seconds", "Endpoint time"),
                            ("copy_seconds", "Model copy time"),
                            ("adapter_seconds", "Adapter time"),
                            ("stored_byte_hours", "Stored adapters"),
                        ],
                        max_length=30,
                    ),
                ),
                ("line", models.CharField(max_length=30)),
                ("adapter_version", models.CharField(blank=True, max_length=40)),
                ("quantity", models.DecimalField(decimal_places=0, max_digits=38)),
            ],
        ),
        migrations.CreateModel(
            name="UsageHour",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("hour", models.DateTimeField()),
                (
                    "meter",
                    models.CharField(
                        choices=[
                            ("input_tokens", "Input tokens"),
                            ("output_tokens", "Output tokens"),
                            ("requests", "Requests"),
                            ("endpoint_seconds", "Endpoint time"),
                            ("copy_seconds", "Model copy time"),
                            ("adapter_seconds", "Adapter time"),
                            ("stored_byte_hours", "Stored adapters"),
                        ],
                        max_length=30,
                    ),
                ),
                ("line", models.CharField(max_length=30)),
                ("quantity", models.DecimalField(decimal_places=0, max_digits=38)),
            ],
        ),
        migrations.AlterField(
            model_name="parkedpoint",
            name="meter",
            field=models.CharField(
                choices=[
                    ("input_tokens", "Input tokens"),
                    ("output_tokens", "Output tokens"),
                    ("requests", "Requests"),
                    ("endpoint_seconds", "Endpoint time"),
                    ("copy_seconds", "Model copy time"),
                    ("adapter_seconds", "Adapter time"),
                    ("stored_byte_hours", "Stored adapters"),
                ],
                max_length=30,
            ),
        ),
        migrations.AddConstraint(
            model_name="metersource",
            constraint=models.UniqueConstraint(fields=("meter", "starts_at"), name="meter_source_unique"),
        ),
        migrations.AddConstraint(
            model_name="metersource",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ends_at", None)), fields=("meter",), name="meter_source_one_open"
            ),
        ),
        migrations.AddConstraint(
            model_name="metersource",
            constraint=models.CheckConstraint(
                condition=models.Q(("ends_at__isnull", True), ("ends_at__gt", models.F("starts_at")), _connector="OR"),
                name="meter_source_in_order",
            ),
        ),
        migrations.AddConstraint(
            model_name="metersource",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "meter__in",
                        [
                            "input_tokens",
                            "output_tokens",
                            "requests",
                            "endpoint_seconds",
                            "copy_seconds",
                            "adapter_seconds",
                            "stored_byte_hours",
                        ],
                    )
                ),
                name="meter_source_meter_known",
            ),
        ),
        migrations.AddField(
            model_name="sealedday",
            name="seal",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="days", to="metering.seal"
            ),
        ),
        migrations.AddField(
            model_name="usageday",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="usage_days",
                to="tenants.tenant",
            ),
        ),
        migrations.AddConstraint(
            model_name="usagehour",
            constraint=models.UniqueConstraint(fields=("hour", "meter", "line"), name="usage_hour_unique"),
        ),
        migrations.AddConstraint(
            model_name="sealedday",
            constraint=models.UniqueConstraint(
                fields=("seal", "day", "meter", "line", "adapter_version"), name="sealed_day_unique"
            ),
        ),
        migrations.AddIndex(
            model_name="usageday",
            index=models.Index(fields=["day", "meter"], name="usage_day_by_day"),
        ),
        migrations.AddConstraint(
            model_name="usageday",
            constraint=models.UniqueConstraint(
                fields=("tenant", "day", "meter", "line", "adapter_version"), name="usage_day_unique"
            ),
        ),
        append_only("metering_sealedday"),
        migrations.RunSQL(SUM_UP),
        migrations.RunSQL(ROLL_UP),
    ]
