"""What a state is called in front of people, and its tone and icon: one table for every room.

A tone is `ok`, `run` (something is happening), `warn` (look at it), `bad` (a person is needed) or `idle`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """A state as a chip: never a colour alone."""

    label: str
    tone: str
    icon: str


_RUNNING = "loader-circle"
_WORDS: dict[str, dict[str, Word]] = {
    "tenant": {
        "signed_up": Word("Signed up", "run", _RUNNING),
        "provisioning": Word("Provisioning", "run", _RUNNING),
        "provisioning_failed": Word("Provisioning failed", "bad", "circle-x"),
        "active": Word("Active", "ok", "circle-check"),
        "suspended": Word("Suspended", "warn", "pause"),
        "offboarding": Word("Offboarding", "run", _RUNNING),
        "offboarded": Word("Offboarded", "idle", "archive"),
    },
    "observed": {
        "in_sync": Word("In sync", "ok", "circle-check"),
        "applying": Word("Applying", "run", _RUNNING),
        "stuck": Word("Stuck", "bad", "triangle-alert"),
        "nothing": Word("No resources", "idle", "circle-dashed"),
    },
    "version": {
        "uploading": Word("Uploading", "run", _RUNNING),
        "importing": Word("Importing", "run", _RUNNING),
        "validating": Word("Checking", "run", _RUNNING),
        "ready": Word("Accepted", "ok", "circle-check"),
        "rejected": Word("Refused", "bad", "circle-x"),
        "archived": Word("Archived", "idle", "archive"),
    },
    "approval": {
        "not_required": Word("No approval needed", "idle", "circle-dashed"),
        "pending": Word("Waits for approval", "warn", "clock"),
        "approved": Word("Approved", "ok", "circle-check"),
        "rejected": Word("Not approved", "bad", "circle-x"),
    },
    "gap": {
        "not_released": Word("Nothing released yet", "idle", "circle-dashed"),
        "withdrawn": Word("Withdrawn", "idle", "ban"),
        "suspended": Word("Tenant suspended", "warn", "pause"),
        "left": Word("Tenant left", "idle", "archive"),
    },
    "release": {
        "pending": Word("Going live", "run", _RUNNING),
        "live": Word("Live", "ok", "circle-dot"),
        "refused": Word("Refused", "bad", "circle-x"),
        "superseded": Word("Superseded", "idle", "history"),
    },
    "operation": {
        "running": Word("Running", "run", _RUNNING),
        "stuck": Word("Needs attention", "bad", "triangle-alert"),
        "succeeded": Word("Done", "ok", "circle-check"),
        "failed": Word("Failed", "bad", "circle-x"),
        "held": Word("On hold", "warn", "pause"),
        "cancelled": Word("Cancelled", "idle", "ban"),
        "superseded": Word("Superseded", "idle", "history"),
    },
    "bulk_item": {
        "waiting": Word("Waiting", "idle", "clock"),
        "working": Word("Under way", "run", _RUNNING),
        "done": Word("Done", "ok", "circle-check"),
        "skipped": Word("Nothing to do", "idle", "circle-dashed"),
        "failed": Word("Failed", "bad", "circle-x"),
    },
    "planned": {
        "change": Word("Will change", "run", "refresh-cw"),
        "skip": Word("Nothing to do", "idle", "circle-dashed"),
        "blocked": Word("Blocked", "bad", "ban"),
        "make": Word("Made", "run", "plus"),
        "keep": Word("Stays", "idle", "circle-dot"),
        "remove": Word("Removed", "warn", "x"),
    },
    "step": {
        "waiting": Word("Waiting", "idle", "circle-dashed"),
        "running": Word("Running", "run", _RUNNING),
        "done": Word("Done", "ok", "circle-check"),
        "stuck": Word("Stuck", "bad", "triangle-alert"),
        "failed": Word("Failed", "bad", "circle-x"),
    },
    "resource": {
        "wished": Word("Wished for", "idle", "clock"),
        "creating": Word("Creating", "run", _RUNNING),
        "ready": Word("Ready", "ok", "circle-check"),
        "updating": Word("Updating", "run", _RUNNING),
        "deleting": Word("Deleting", "run", _RUNNING),
        "gone": Word("Gone", "idle", "archive"),
        "stuck": Word("Stuck", "bad", "triangle-alert"),
    },
    "account": {
        "unproven": Word("Not proven", "warn", "clock"),
        "proven": Word("Proven", "ok", "shield-check"),
        "access_lost": Word("Access lost", "bad", "triangle-alert"),
        "closed": Word("Closed", "idle", "archive"),
    },
    "breaker": {
        "closed": Word("Closed", "ok", "circle-check"),
        "half_open": Word("Half-open", "warn", "clock"),
        "open": Word("Open", "bad", "circle-x"),
        "tripped": Word("Tripped", "bad", "ban"),
    },
    "proof": {
        "passed": Word("Passed", "ok", "circle-check"),
        "failed": Word("Failed", "bad", "circle-x"),
    },
    "usage_gap": {
        "open": Word("Open", "warn", "triangle-alert"),
        "filled": Word("Filled", "ok", "circle-check"),
        "accepted": Word("Accepted", "idle", "ban"),
    },
    "metering_alarm": {
        "unread": Word("Hours cannot be read", "bad", "triangle-alert"),
        "retention": Word("CloudWatch will forget hours", "bad", "triangle-alert"),
        "lost": Word("Hours are lost", "bad", "triangle-alert"),
        "difference": Word("Two sources differ", "warn", "triangle-alert"),
        "parked": Word("A value cannot be a count", "warn", "triangle-alert"),
        "unattributed": Word("Usage is nobody's", "warn", "triangle-alert"),
        "months": Word("A month has no partition", "bad", "triangle-alert"),
    },
    "finding": {
        "wrong": Word("Needs somebody", "bad", "triangle-alert"),
        "new": Word("Not counted yet", "warn", "clock"),
        "deleting": Word("Being deleted", "run", _RUNNING),
        "adopted": Word("Adopted", "run", _RUNNING),
        "ignored": Word("Ignored", "idle", "ban"),
    },
    "invoice": {
        "preview": Word("Preview", "run", "file-text"),
        "draft": Word("Draft", "warn", "file-text"),
        "finalized": Word("Final", "ok", "lock"),
        "paid": Word("Paid", "ok", "circle-check"),
        "void": Word("Void", "idle", "ban"),
    },
    "export": {
        "queued": Word("Queued", "run", "clock"),
        "running": Word("Being made", "run", _RUNNING),
        "done": Word("Ready", "ok", "circle-check"),
        "failed": Word("Failed", "bad", "circle-x"),
        "expired": Word("Erased", "idle", "archive"),
    },
    "key": {
        "active": Word("Active", "ok", "key-round"),
        "expired": Word("Expired", "warn", "clock"),
        "revoked": Word("Revoked", "idle", "ban"),
    },
    "webhook": {
        "healthy": Word("Healthy", "ok", "circle-check"),
        "failing": Word("Failing", "warn", "triangle-alert"),
        "disabled": Word("Disabled", "idle", "ban"),
        "unused": Word("Nothing sent yet", "idle", "circle-dashed"),
    },
    "delivery": {
        "waiting": Word("Waiting", "run", "clock"),
        "sending": Word("Sending", "run", _RUNNING),
        "delivered": Word("Delivered", "ok", "circle-check"),
        "failed": Word("Given up", "bad", "circle-x"),
        "cancelled": Word("Cancelled", "idle", "ban"),
    },
    "severity": {
        "error": Word("Error", "bad", "circle-x"),
        "warning": Word("Warning", "warn", "triangle-alert"),
    },
    "rate_card": {
        "draft": Word("Draft", "warn", "file-text"),
        "published": Word("Published", "ok", "lock"),
    },
}


def word(kind: str, state: str) -> Word:
    """The word for a state. A state that the table does not know yet is shown as it is, in a neutral tone."""
    known = _WORDS.get(kind, {}).get(str(state))
    return known or Word(str(state).replace("_", " ").capitalize(), "idle", "circle-dot")


def choices(kind: str) -> list[tuple[str, str]]:
    """Every state of a kind with its label, in the order of its life."""
    return [(state, each.label) for state, each in _WORDS[kind].items()]
