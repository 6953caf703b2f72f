"""Whether nothing was lost or doubled: rules over the tables as they are, each with the rows that break it."""

from dataclasses import dataclass

from django.db import connection

from metering.counting import COUNTS, JOIN_SOURCE


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that does not hold, and for how many rows."""

    rule: str
    rows: int


# Days and claims of months that were dropped have nothing left to be compared with.
RULES = {
    "a bucket has every value that it had before": """
        SELECT count(*) FROM metering_usagebucket b WHERE b.revision - 1 <> (
            SELECT count(*) FROM metering_usagerevision r
            WHERE r.bucket_id = b.id AND r.bucket_start = b.bucket_start AND r.revision < b.revision)""",
    "what is sealed of a bucket is the sum of its claims": """
        SELECT count(*) FROM metering_usagebucket b WHERE b.sealed_quantity <> (
            SELECT coalesce(sum(c.quantity), 0) FROM metering_sealedbucket c
            WHERE c.bucket_id = b.id AND c.bucket_start = b.bucket_start)""",
    "days are the sums of their buckets": f"""
        WITH summed AS (
            SELECT b.tenant_id, (b.bucket_start AT TIME ZONE z.timezone)::date AS day, b.meter, b.line,
                   b.adapter_version, sum(b.quantity) AS quantity
            FROM metering_usagebucket b JOIN metering_rollupzone z ON z.tenant_id = b.tenant_id {JOIN_SOURCE}
            WHERE {COUNTS} GROUP BY 1, 2, 3, 4, 5)
        SELECT count(*) FROM summed s FULL JOIN metering_usageday d
            USING (tenant_id, day, meter, line, adapter_version)
        WHERE coalesce(s.quantity, 0) <> coalesce(d.quantity, 0) AND (s.day IS NOT NULL OR d.day > (
            SELECT coalesce(min(bucket_start) + interval '1 day', 'infinity') FROM metering_usagebucket)::date)""",
    "a seal's days are the sums of its claims": """
        WITH claimed AS (SELECT seal_id, sum(quantity) AS quantity FROM metering_sealedbucket GROUP BY 1),
             days AS (SELECT seal_id, sum(quantity) AS quantity FROM metering_sealedday GROUP BY 1)
        SELECT count(*) FROM claimed c JOIN metering_seal s ON s.id = c.seal_id LEFT JOIN days d USING (seal_id)
        WHERE c.quantity <> coalesce(d.quantity, 0) AND s.period_start >= coalesce(
            (SELECT max(month) + interval '1 month' FROM metering_droppedmonth), '-infinity')""",
    "events are in their buckets or about to be": """
        WITH said AS (SELECT series_id, sum(quantity) AS quantity FROM metering_usageevent GROUP BY 1),
             waiting AS (SELECT series_id, sum(quantity) AS quantity FROM metering_eventdelta GROUP BY 1),
             held AS (SELECT s.id AS series_id, sum(b.quantity) AS quantity
                      FROM metering_usageseries s JOIN metering_usagebucket b ON b.tenant_id = s.tenant_id
                          AND b.meter = s.meter AND b.line = s.line AND b.adapter_version = s.adapter_version
                          AND b.source = 'events' GROUP BY 1)
        SELECT count(*) FROM said LEFT JOIN waiting USING (series_id) LEFT JOIN held USING (series_id)
        WHERE said.quantity < coalesce(waiting.quantity, 0) + coalesce(held.quantity, 0)
           OR (said.quantity > coalesce(waiting.quantity, 0) + coalesce(held.quantity, 0)
               AND NOT EXISTS (SELECT 1 FROM metering_usageevent e WHERE e.series_id = said.series_id AND e.occurred_at
                   < (SELECT min(bucket_start) FROM metering_usagebucket)))""",
}


def breaches() -> list[Breach]:
    """The rules that do not hold now, read in one snapshot per rule; nothing is changed."""
    found = []
    with connection.cursor() as cursor:
        for rule, statement in RULES.items():
            cursor.execute(statement)
            rows = int(cursor.fetchone()[0])
            if rows:
                found.append(Breach(rule, rows))
    return found
