"""Which buckets count: SQL that pages, seals and roll-ups share, so that what is shown is what is billed; pure.

A bucket's source begins with its kind. Two kinds may report the same meter: `cloudwatch` and `events`. Of these, one
counts at any hour: the one that a MeterSource row names, or CloudWatch. An `estimate` stands in for CloudWatch and
counts where it does; `ledger` and `registry` count always.
"""

EVENTS = "events"
CLOUDWATCH = "cloudwatch"

JOIN_SOURCE = """
LEFT JOIN metering_metersource declared ON declared.meter = b.meter AND declared.starts_at <= b.bucket_start
    AND (declared.ends_at IS NULL OR declared.ends_at > b.bucket_start)
"""
COUNTS = """
CASE split_part(b.source, ':', 1) WHEN 'events' THEN coalesce(declared.kind, 'cloudwatch') = 'events'
    WHEN 'estimate' THEN coalesce(declared.kind, 'cloudwatch') = 'cloudwatch'
    WHEN 'cloudwatch' THEN coalesce(declared.kind, 'cloudwatch') = 'cloudwatch' ELSE true END
"""
