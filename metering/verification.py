"""What must always hold of measured usage."""

from core.verification import Check, sql_check

CHECKS: tuple[Check, ...] = (
    sql_check(
        "sealed_days",
        "The days of a seal add up to the buckets that it claims, as long as hours are kept.",
        """SELECT s.public_id || ' ' || coalesce(d.meter, b.meter) || ': days ' || coalesce(d.quantity, 0)
                || ', buckets ' || coalesce(b.quantity, 0)
            FROM (SELECT seal_id, meter, sum(quantity) AS quantity FROM metering_sealedday GROUP BY 1, 2) d
            FULL JOIN (SELECT c.seal_id, u.meter, sum(c.quantity) AS quantity FROM metering_sealedbucket c
                JOIN metering_usagebucket u ON u.id = c.bucket_id AND u.bucket_start = c.bucket_start GROUP BY 1, 2) b
                ON b.seal_id = d.seal_id AND b.meter = d.meter
            JOIN metering_seal s ON s.id = coalesce(d.seal_id, b.seal_id)
            WHERE coalesce(d.quantity, 0) <> coalesce(b.quantity, 0) AND s.period_start >= coalesce(
                (SELECT max(month) + interval '1 month' FROM metering_droppedmonth), '-infinity')""",
    ),
    sql_check(
        "sealed_once",
        "What seals claimed of a bucket adds up to what the bucket says is sealed.",
        """SELECT 'bucket ' || u.id || ': sealed ' || u.sealed_quantity || ', claimed ' || coalesce(sum(c.quantity), 0)
            FROM metering_usagebucket u LEFT JOIN metering_sealedbucket c
                ON c.bucket_id = u.id AND c.bucket_start = u.bucket_start
            GROUP BY u.id, u.bucket_start, u.sealed_quantity
            HAVING u.sealed_quantity <> coalesce(sum(c.quantity), 0)""",
    ),
    sql_check(
        "windows_alive",
        "No hour waits for more than a day to be read although it is due and nobody holds it.",
        """SELECT 'window ' || w.id || ' is due since ' || w.due_at FROM metering_collectionwindow w
            WHERE w.due_at < now() - interval '1 day' AND (w.lease_until IS NULL OR w.lease_until < now())
                AND w.due_at < (SELECT max(fetched_at) FROM metering_collectionwindow) - interval '1 day'""",
    ),
)
