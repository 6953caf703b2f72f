"""Whatever AWS shows or answers, the outcome is a legal move and says when to look again."""

import itertools
from datetime import UTC, datetime

import pytest

from aws import errors
from aws.gateway import Receipt, Sighting
from provisioning.models import ManagedResource
from provisioning.reconciler.act import Result
from provisioning.reconciler.observe import Observation
from provisioning.reconciler.outcome import Pace, conclude
from provisioning.reconciler.plan import BROKEN, CHANGING, Action, Decision, Seen, Wanted, decide
from provisioning.states import PHASE_MOVES, Phase, StuckReason

PACE = Pace(sweep_seconds=15, chance=0.5)
AT = datetime(2026, 11, 20, tzinfo=UTC)
LIVING = [phase for phase in Phase.values if phase != Phase.GONE]
STATUSES = ["", "InService", "Failed", "Unheard", *sorted(CHANGING), *sorted(BROKEN)]


def row(phase: str, **columns: object) -> ManagedResource:
    defaults = {"kind": "endpoint", "name": "n", "settings": {"config_name": "c-2"}, "digest": "d", "aws_status": "x"}
    return ManagedResource(phase=phase, **{**defaults, **columns})


def seen(status: str, config: str = "c-2") -> Observation:
    if not status:
        return Observation()
    sighting = Sighting("endpoint", "n", "arn", status, AT, AT, is_detailed=True, config_name=config)
    return Observation(sighting=sighting)


def error(kind: type[errors.AwsError]) -> errors.AwsError:
    return kind(code="Code", message="a sentence", operation="CreateEndpoint", request_id="r-1")


def test_every_outcome_is_a_legal_move():
    count = 0
    results = [Result(receipt=Receipt("r-1", "arn")), Result(error=error(errors.Throttled)), Result()]
    for phase, status, wanted, config, ours in itertools.product(
        LIVING, STATUSES, (True, False), ("c-1", "c-2"), (True, False)
    ):
        it, look = row(phase, is_wanted=wanted), seen(status, config)
        look = Observation(sighting=look.sighting, is_ours=ours)
        wish = Wanted(wanted, phase == Phase.DELETING, phase in (Phase.READY, Phase.UPDATING), it.settings, it.digest)
        decision = decide(wish, Seen(status=status, is_ours=ours, settings={"config_name": config}))
        acts = decision.action in (Action.CREATE, Action.UPDATE, Action.DELETE)
        for result in results if acts else [None]:
            outcome = conclude(it, look, decision, result, PACE)
            count += 1
            assert outcome.phase == phase or outcome.phase in PHASE_MOVES[phase], (phase, status, decision)
            assert 0 <= outcome.after_seconds <= 6 * 3600 * 1.2
            if outcome.phase == Phase.GONE:
                assert not status or not ours
    assert count > 200


@pytest.mark.parametrize(
    ("kind", "stuck", "seconds"),
    [
        (errors.Throttled, "", 15),
        (errors.Unreachable, "", 15),
        (errors.Unrecognized, "", 15),
        (errors.InProgress, "", 15),
        (errors.AlreadyExists, "", 0),
        (errors.Missing, "", 0),
        (errors.QuotaReached, StuckReason.QUOTA, 900),
        (errors.CapacityUnavailable, StuckReason.CAPACITY, 900),
        (errors.AccessDenied, StuckReason.AUTH, 300),
        (errors.InvalidRequest, StuckReason.TERMINAL, 600),
        (errors.PreconditionFailed, StuckReason.TERMINAL, 600),
    ],
)
def test_each_refusal_waits_as_long_as_it_should(kind, stuck, seconds):
    it = row(Phase.WISHED, settings={"config_name": "c-2"})
    outcome = conclude(it, Observation(), Decision(Action.CREATE), Result(error=error(kind)), PACE)
    assert outcome.phase == Phase.WISHED
    assert outcome.changes.get("stuck_reason", "") == stuck
    assert round(outcome.after_seconds) == seconds
    assert outcome.changes["last_request_id"] == "r-1" and "a sentence" in outcome.changes["detail"]


def test_what_is_not_recognised_is_given_up_after_five_times():
    it = row(Phase.WISHED, failures=4)
    outcome = conclude(it, Observation(), Decision(Action.CREATE), Result(error=error(errors.Unrecognized)), PACE)
    assert outcome.changes["stuck_reason"] == StuckReason.TERMINAL


@pytest.mark.parametrize("phase", LIVING)
@pytest.mark.parametrize("kind", [errors.Unreachable, errors.Throttled, errors.AccessDenied, errors.InvalidRequest])
def test_an_aws_that_does_not_answer_changes_no_phase(phase, kind):
    outcome = conclude(row(phase), Observation(error=error(kind)), Decision(Action.WAIT), None, PACE)
    assert outcome.phase == phase


def test_a_lease_too_short_to_send_is_looked_at_again_at_once():
    outcome = conclude(row(Phase.WISHED), Observation(), Decision(Action.CREATE), Result(), PACE)
    assert (outcome.phase, outcome.after_seconds) == (Phase.WISHED, 0)
