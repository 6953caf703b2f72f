"""The decision table, row by row."""

import itertools

import pytest

from provisioning.reconciler.plan import BROKEN, CHANGING, Action, Seen, Wanted, decide

ONE = {"copies": 1}
TWO = {"copies": 2}


def wanted(**changes):
    base = {"is_wanted": True, "is_deleting": False, "has_served": False, "settings": ONE, "digest": "d1"}
    return Wanted(**{**base, **changes})


NOTHING = Seen()
SERVING = Seen(status="InService", settings=ONE)
OTHER = Seen(status="InService", settings=TWO)
FOREIGN = Seen(status="InService", is_ours=False, settings=ONE)
FAILED = Seen(status="Failed", failure="terminal", failure_reason="bad image")

TABLE = [
    # wished, nothing there
    (wanted(), NOTHING, Action.CREATE, ""),
    (wanted(parents_ready=False), NOTHING, Action.WAIT, ""),
    (wanted(has_served=True), NOTHING, Action.FORGET, ""),
    (wanted(failed_digest="d1", stuck_reason="terminal", detail="no"), NOTHING, Action.STUCK, "terminal"),
    (wanted(failed_digest="d0"), NOTHING, Action.CREATE, ""),
    # wished, there
    (wanted(), SERVING, Action.SETTLE, ""),
    (wanted(), FOREIGN, Action.STUCK, "conflict"),
    (wanted(), OTHER, Action.UPDATE, ""),
    (wanted(parents_ready=False), OTHER, Action.WAIT, ""),
    (wanted(sent_digest="d1"), OTHER, Action.WAIT, ""),
    (wanted(sent_digest="d1", was_seen_since_sent=True), OTHER, Action.STUCK, "terminal"),
    (wanted(sent_digest="d0", was_seen_since_sent=True), OTHER, Action.UPDATE, ""),
    (wanted(failed_digest="d1", stuck_reason="terminal"), OTHER, Action.STUCK, "terminal"),
    (wanted(failed_digest="d1"), SERVING, Action.SETTLE, ""),
    (wanted(), FAILED, Action.DELETE, "terminal"),
    (wanted(), Seen(status="Failed", failure="capacity", failure_reason="x"), Action.DELETE, "capacity"),
    (wanted(), Seen(status="Failed", failure="quota", failure_reason="x"), Action.DELETE, "quota"),
    (wanted(), Seen(status="Failed"), Action.DELETE, "terminal"),
    (wanted(), Seen(status="OutOfService"), Action.STUCK, "terminal"),
    (wanted(), Seen(status="UpdateRollbackFailed"), Action.STUCK, "terminal"),
    (wanted(), Seen(status="Whatever"), Action.WAIT, ""),
    # not wished
    (wanted(is_wanted=False), NOTHING, Action.FORGET, ""),
    (wanted(is_wanted=False), FOREIGN, Action.FORGET, ""),
    (wanted(is_wanted=False), SERVING, Action.DELETE, ""),
    (wanted(is_wanted=False), FAILED, Action.DELETE, ""),
    (wanted(is_wanted=False, is_needed=True), SERVING, Action.WAIT, ""),
    (wanted(is_wanted=False, is_needed=True), NOTHING, Action.FORGET, ""),
    # wished again while it is being deleted: that incarnation goes all the same
    (wanted(is_deleting=True), SERVING, Action.DELETE, ""),
    (wanted(is_deleting=True), NOTHING, Action.FORGET, ""),
    *[(wanted(), Seen(status=status), Action.WAIT, "") for status in sorted(CHANGING)],
    *[(wanted(is_wanted=False), Seen(status=status), Action.WAIT, "") for status in sorted(CHANGING)],
    *[(wanted(is_wanted=False), Seen(status=status), Action.DELETE, "") for status in sorted(BROKEN)],
]


@pytest.mark.parametrize(("wish", "seen", "action", "reason"), TABLE)
def test_table(wish, seen, action, reason):
    decision = decide(wish, seen)
    assert (decision.action, decision.stuck_reason) == (action, reason)


def test_whatever_is_seen_nothing_foreign_is_changed_and_nothing_needed_is_deleted():
    statuses = ["", "InService", "Failed", "Unknown", *CHANGING, *BROKEN]
    flags = itertools.product([True, False], repeat=6)
    count = 0
    for (is_wanted, is_deleting, served, ready, needed, ours), status in itertools.product(flags, statuses):
        wish = wanted(
            is_wanted=is_wanted, is_deleting=is_deleting, has_served=served, parents_ready=ready, is_needed=needed
        )
        action = decide(wish, Seen(status=status, is_ours=ours, settings=TWO)).action
        count += 1
        if status and not ours:
            assert action not in (Action.CREATE, Action.UPDATE, Action.DELETE)
        if action == Action.CREATE:
            assert is_wanted and not status and ready
        if action == Action.DELETE and status != "Failed":
            assert not needed and (not is_wanted or is_deleting)
        if status in CHANGING:
            assert action in (Action.WAIT, Action.STUCK, Action.FORGET)
    assert count == 64 * len(statuses)
