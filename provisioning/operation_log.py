"""The log of an operation: its steps, what AWS was asked for them and said, and its events, newest first."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from events.queries import events_about
from provisioning.models import Operation, OperationStep, ResourceCall

MOST_ENTRIES = 200
STEP, CALL, EVENT = "step", "call", "event"


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line. `request_id` is AWS's for a call and ours for an event; `times` counts a call that was repeated."""

    at: datetime
    kind: str
    about: str
    what: str
    said: str = ""
    who: str = ""
    request_id: str = ""
    times: int = 1
    first_at: datetime | None = None

    @property
    def is_refusal(self) -> bool:
        """Whether AWS refused or lost the call."""
        return self.kind == CALL and bool(self.said)


@dataclass(frozen=True, slots=True)
class OperationLog:
    """The newest `MOST_ENTRIES` lines; `is_cut` when there are more."""

    entries: list[LogEntry]
    is_cut: bool


def log_of(operation: Operation) -> OperationLog:
    """What is known of an operation from its start to its end; its steps and their resources were prefetched."""
    steps = list(operation.steps.all())
    names = {step.resource.public_id: step.resource.name for step in steps if step.resource is not None}
    until = operation.finished_at
    found = [*_of_steps(steps), *_calls(operation, [step.resource_id for step in steps if step.resource_id])]
    # A retry of what failed, and what follows it, belong to it: its own events are told without an end.
    own = events_about([operation.public_id])[: MOST_ENTRIES + 1]
    others = events_about(names).filter(created_at__gte=operation.started_at)
    if until is not None:
        others = others.filter(created_at__lte=until)
    for event in [*own, *others[: MOST_ENTRIES + 1]]:
        about = names.get(event.subject_ref, operation.title)
        found.append(
            LogEntry(event.created_at, EVENT, about, event.name, event.reason, event.actor_name, event.request_id)
        )
    found.sort(key=lambda entry: entry.at, reverse=True)
    return OperationLog(found[:MOST_ENTRIES], len(found) > MOST_ENTRIES)


def _of_steps(steps: Iterable[OperationStep]) -> Iterable[LogEntry]:
    for step in steps:
        if step.began_at is not None:
            yield LogEntry(step.began_at, STEP, step.title, "begun")
        if step.done_at is not None:
            attempts = f"attempt {step.attempts}" if step.attempts > 1 else ""
            yield LogEntry(step.done_at, STEP, step.title, "done", said=attempts)


def _calls(operation: Operation, resource_ids: list[int]) -> Iterable[LogEntry]:
    calls = ResourceCall.objects.filter(resource__in=resource_ids, at__gte=operation.started_at)
    if operation.finished_at is not None:
        calls = calls.filter(first_at__lte=operation.finished_at)
    for call in calls.select_related("resource").order_by("-at", "-pk")[: MOST_ENTRIES + 1]:
        about = f"{call.resource.name}, {call.resource.region}"
        yield LogEntry(
            call.at,
            CALL,
            about,
            call.operation.replace("_", " "),
            call.said,
            "AWS",
            call.request_id,
            call.times,
            call.first_at,
        )
