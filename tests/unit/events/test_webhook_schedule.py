"""Ten tries over three days, spread a little."""

from datetime import timedelta

from events.webhooks.schedule import DELAYS, DISABLED_AFTER, LONGEST_REST, delay_after, rest_after

SEEDS = [f"whd_{number}" for number in range(200)]


def test_the_schedule_is_that_of_standard_webhooks() -> None:
    seconds = [0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert [delay.total_seconds() for delay in DELAYS] == seconds
    assert sum(seconds) == 75 * 3600 + 35 * 60 + 5
    assert sum(DELAYS, timedelta(0)) < DISABLED_AFTER


def test_no_try_comes_early_and_none_a_tenth_late() -> None:
    for tries in range(1, len(DELAYS)):
        delays = [delay_after(tries, seed=seed) for seed in SEEDS]
        assert all(delay is not None and DELAYS[tries] <= delay <= DELAYS[tries] * 1.1 for delay in delays)
        assert len(set(delays)) > 150  # spread, or all would come back together
        assert delays == [delay_after(tries, seed=seed) for seed in SEEDS]  # the same when asked again


def test_after_the_tenth_try_it_is_over() -> None:
    assert delay_after(len(DELAYS), seed="whd_1") is None
    assert delay_after(len(DELAYS) + 5, seed="whd_1") is None


def test_a_rest_never_postpones_the_only_delivery() -> None:
    for failures in range(1, len(DELAYS)):
        assert rest_after(failures) < DELAYS[failures]
    assert rest_after(10_000) == LONGEST_REST
