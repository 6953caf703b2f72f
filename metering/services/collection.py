"""Reading usage: closed hours, exact series, absolute values, again and again until late points cannot change them.

    open windows → claim a batch (transaction) → read CloudWatch and the ledger (none) → record (transaction)

Only a read in which every series of the batch came back complete counts. Running this twice, at once, or after a
crash at any line writes the same rows.
"""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import transaction

from aws import connect
from aws.errors import AwsError
from aws.gateway import MetricsGateway, SeriesQuery, SeriesResult
from core import clock
from core.crashpoints import crashpoint
from core.periods import Period
from metering import books, emitters, meters, schedule, store, windows
from metering.evidence import answer_digest
from metering.models import Enrolment, MeteringScope, SourceAnswer
from metering.partitions import make_months
from metering.services import estimates
from metering.services.enrolment import advance_watermarks, open_windows
from metering.services.unattributed import note_unattributed
from provisioning.doors import Doors

QUERIES_PER_CALL = 500
POINTS_PER_CALL = 100_800
# A week of hours at most: with 200 tenants in a scope that is a few hundred thousand points in memory.
WINDOWS_PER_CLAIM = 168


@dataclass(slots=True)
class CollectionReport:
    """What one run did. `problems` are sentences with their counts; their windows are due again."""

    windows_opened: int = 0
    windows_read: int = 0
    windows_settled: int = 0
    windows_unread: int = 0
    values_changed: int = 0
    values_parked: int = 0
    values_unattributed: int = 0
    queries: int = 0
    problems: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Member:
    """A tenant of the scope, and the part of time for which it is read here."""

    tenant_id: int
    starts_at: datetime
    ends_at: datetime | None

    def covers(self, at: datetime) -> bool:
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)


@dataclass(slots=True)
class Batch:
    """What reading one stretch of hours gave, before anything is written."""

    fetched_at: datetime
    readings: list[store.Reading] = field(default_factory=list)
    refused: list[store.Refused] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)
    answers: list[SourceAnswer] = field(default_factory=list)
    queries: int = 0
    problem: str = ""
    is_lost: bool = False


def collect_usage(*, as_of: datetime | None = None, budget_seconds: float | None = None) -> CollectionReport:
    """Read every hour that is due at `as_of` (default: now), and record what is known after it.

    `budget_seconds` stops after about so much real time; what is left is found by the next run. Failures of AWS are
    in the report, not raised: their windows stay open.
    """
    as_of = as_of or clock.now()
    stop_at = None if budget_seconds is None else time.monotonic() + budget_seconds
    report = CollectionReport(windows_opened=open_windows(as_of=as_of))
    read: list[windows.Claimed] = []
    while claimed := _claim(as_of):
        scope = MeteringScope.objects.get(pk=claimed[0].scope_id)
        for stretch in windows.runs(claimed):
            for part in _by_retention(stretch, scope.bucket_seconds, as_of):
                _read_and_record(scope, part, as_of, report)
        read += claimed
        if stop_at is not None and time.monotonic() >= stop_at:
            break
    if read:
        span = Period(min(w.starts_at for w in read), max(w.ends_at for w in read))
        report.values_unattributed = note_unattributed(span=span, as_of=as_of, problems=report.problems)
        advance_watermarks()
    return report


def _claim(as_of: datetime) -> list[windows.Claimed]:
    now = clock.real_now()
    lease_until = now + timedelta(seconds=settings.LEASE_SECONDS)
    with transaction.atomic(durable=True):
        return windows.claim(as_of=as_of, now=now, lease_until=lease_until, limit=WINDOWS_PER_CLAIM)


def _read_and_record(
    scope: MeteringScope, stretch: Sequence[windows.Claimed], as_of: datetime, report: CollectionReport
) -> None:
    crashpoint("before metering read")
    batch = read_span(scope, Period(stretch[0].starts_at, stretch[-1].ends_at), as_of)
    crashpoint("after metering read")
    report.queries += batch.queries
    make_months(reading.bucket_start for reading in batch.readings)
    with transaction.atomic(durable=True):
        ours = windows.lock_ours(stretch)
        hours = {window.starts_at for window in ours}
        SourceAnswer.objects.bulk_create(batch.answers if ours else [], ignore_conflicts=True)
        report.values_changed += store.write_readings([r for r in batch.readings if _hour(r.bucket_start) in hours])
        if ours:
            estimates.replace(scope, sorted(hours), ours[-1].ends_at, is_whole=not batch.problem)
        report.values_parked += store.write_refused([r for r in batch.refused if _hour(r.bucket_start) in hours])
        report.windows_settled += windows.record(
            ours,
            as_of=as_of,
            fetched_at=batch.fetched_at,
            request_ids=batch.request_ids,
            problem=batch.problem,
            is_lost=batch.is_lost,
        )
        crashpoint("before metering commit")
    crashpoint("after metering commit")
    if batch.problem:
        report.problems[batch.problem] += len(ours)
        report.windows_unread += len(ours)
    else:
        report.windows_read += len(ours)


def _by_retention(
    stretch: Sequence[windows.Claimed], bucket_seconds: int, as_of: datetime
) -> list[Sequence[windows.Claimed]]:
    """A stretch as the part that CloudWatch may have forgotten and the part that it still has."""
    kept = [not schedule.is_beyond_retention(window.starts_at, bucket_seconds, as_of) for window in stretch]
    first_kept = kept.index(True) if True in kept else len(stretch)
    return [part for part in (stretch[:first_kept], stretch[first_kept:]) if part]


def read_span(
    scope: MeteringScope, span: Period, as_of: datetime, *, tenant_ids: Collection[int] | None = None
) -> Batch:
    """Ask the sources about whole hours of a scope, and write nothing; `tenant_ids` None means all of its tenants.

    Never raises for AWS: the batch carries the problem.
    """
    batch = Batch(fetched_at=clock.now())
    members = _members(scope, span)
    if tenant_ids is not None:
        members = {tenant_id: member for tenant_id, member in members.items() if tenant_id in tenant_ids}
    if (scope.account, scope.region) == ("", settings.ENV.aws_region):
        _read_books(scope, span, members, batch)
    if schedule.is_beyond_retention(span.start, scope.bucket_seconds, as_of):
        batch.problem = f"CloudWatch no longer keeps {scope.bucket_seconds}-second values this old"
        batch.is_lost = True
        return batch
    emissions = [
        emission
        for emission in emitters.emissions(list(members))
        if (emission.emitter.account, emission.emitter.region) == (scope.account, scope.region)
        and emission.can_emit_in(span.start, span.end)
    ]
    most = max(1, POINTS_PER_CALL // (span.seconds // scope.bucket_seconds))
    try:
        for questions in _chunks(_questions(emissions, scope.bucket_seconds), most):
            _ask(scope, span, questions, members, batch)
    except AwsError as error:
        # The batch is read again as a whole; asking on would only hang or be throttled as often.
        batch.problem = batch.problem or f"{error} (request {error.request_id or 'unknown'})"
    return batch


def _ask(
    scope: MeteringScope,
    span: Period,
    questions: Mapping[str, "_Question"],
    members: Mapping[int, _Member],
    batch: Batch,
) -> None:
    """One call, in the scope's account. Raises AwsError, also when the account cannot be entered."""
    queries = [question.query for question in questions.values()]
    answer = _metrics(scope).read_series(queries, span.start, span.end)
    batch.queries += len(questions)
    batch.request_ids += answer.request_ids
    request_id = " ".join(answer.request_ids)[:200]
    batch.answers.append(_evidence(scope.region, span, questions, answer.series, request_id, batch.fetched_at))
    _take(answer.series, questions, scope, members, request_id, batch)


def _metrics(scope: MeteringScope) -> MetricsGateway:
    if not scope.account:
        return connect.metrics(scope.region)
    return Doors([scope.account]).metrics(scope.account, scope.region)


def _evidence(
    region: str,
    span: Period,
    questions: Mapping[str, "_Question"],
    series: Mapping[str, SeriesResult],
    request_id: str,
    fetched_at: datetime,
) -> SourceAnswer:
    answered = [(question.query, series[id_]) for id_, question in questions.items() if id_ in series]
    return SourceAnswer(
        request_id=request_id,
        fetched_at=fetched_at,
        region=region,
        span_start=span.start,
        span_end=span.end,
        queries=len(questions),
        sha256=answer_digest(answered),
    )


@dataclass(frozen=True, slots=True)
class _Question:
    emission: emitters.Emission
    meter: str
    query: SeriesQuery


def _questions(emissions: Iterable[emitters.Emission], seconds: int) -> Iterator[_Question]:
    number = 0
    for emission in emissions:
        who = emission.emitter
        if who.profile:
            dimensions, metrics = {meters.BEDROCK_DIMENSION: who.profile}, meters.BEDROCK_METRICS
        else:
            dimensions = dict(zip(meters.DIMENSIONS, (who.tenant, who.adapter_version, who.line), strict=True))
            metrics = {meter.key: meter.metric for meter in meters.CLOUDWATCH_METERS}
        for meter, metric in metrics.items():
            query = SeriesQuery(f"q{number}", who.namespace, metric, dimensions, seconds, meters.STATISTIC)
            yield _Question(emission, meter, query)
            number += 1


def _chunks(questions: Iterable[_Question], most: int) -> Iterator[dict[str, _Question]]:
    """The questions by id, as many as one call takes; `most` keeps the points of the answer within one page."""
    chunk: dict[str, _Question] = {}
    for question in questions:
        chunk[question.query.id] = question
        if len(chunk) == min(QUERIES_PER_CALL, most):
            yield chunk
            chunk = {}
    if chunk:
        yield chunk


def _take(
    series: Mapping[str, SeriesResult],
    questions: Mapping[str, _Question],
    scope: MeteringScope,
    members: Mapping[int, _Member],
    request_id: str,
    batch: Batch,
) -> None:
    """Turn the answers of one call into readings; an incomplete or missing series makes the whole batch incomplete."""
    instants: dict[int, datetime] = {}
    for id_, question in questions.items():
        result = series.get(id_)
        if result is None or not result.complete:
            said = "no answer" if result is None else result.message
            batch.problem = batch.problem or f"CloudWatch answered {question.query.metric} incompletely: {said}"
            continue
        emission = question.emission
        who = emission.emitter
        member = members[emission.tenant_id]
        source = who.source
        stamp = (batch.fetched_at, request_id)
        for epoch, value in result.points:
            at = instants.get(epoch)
            if at is None:
                at = instants[epoch] = datetime.fromtimestamp(epoch - epoch % scope.bucket_seconds, UTC)
            if not member.covers(at):
                continue
            key = (emission.tenant_id, question.meter, who.line, who.adapter_version, at)
            try:
                if epoch % scope.bucket_seconds:
                    raise meters.Unusable(f"its time {epoch} is not on the {scope.bucket_seconds}-second grid")
                count = meters.quantity(value)
            except meters.Unusable as reason:
                batch.refused.append(store.Refused(*key, source, repr(value), str(reason), *stamp))
            else:
                batch.readings.append(store.Reading(*key, scope.bucket_seconds, count, source, *stamp))


def _read_books(scope: MeteringScope, span: Period, members: Mapping[int, _Member], batch: Batch) -> None:
    """What our own books say: time in service, and what was stored."""
    for row in books.read(list(members), span, scope.bucket_seconds, now=batch.fetched_at):
        if members[row.tenant_id].covers(row.bucket_start):
            key = (row.tenant_id, row.meter, row.line, row.adapter_version, row.bucket_start)
            batch.readings.append(
                store.Reading(*key, scope.bucket_seconds, row.quantity, row.source, batch.fetched_at, "")
            )


def _members(scope: MeteringScope, span: Period) -> dict[int, _Member]:
    rows = Enrolment.objects.filter(scope=scope, starts_at__lt=span.end).exclude(ends_at__lte=span.start)
    return {row.tenant_id: _Member(row.tenant_id, row.starts_at, row.ends_at) for row in rows}


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
