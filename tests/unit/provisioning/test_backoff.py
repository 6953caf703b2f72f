"""Delays grow, have an end, and are spread."""

import pytest

from provisioning.reconciler import backoff

PRODUCTION = 15.0


def test_production_figures_are_those_of_the_docstring():
    middle = 0.5
    assert backoff.poll_seconds(PRODUCTION) == 15
    errors = [round(backoff.error_seconds(PRODUCTION, n, middle)) for n in (1, 2, 3, 4, 5, 6, 60)]
    assert errors == [15, 30, 60, 120, 240, 300, 300]
    scarce = [round(backoff.scarce_seconds(PRODUCTION, n, middle)) for n in (1, 2, 6, 100)]
    assert scarce == [900, 1800, 21600, 21600]
    assert round(backoff.denied_seconds(PRODUCTION, middle)) == 300
    assert round(backoff.resync_seconds(PRODUCTION, middle)) == 600


@pytest.mark.parametrize("chance", [0.0, 0.25, 0.5, 0.999])
def test_jitter_stays_within_a_fifth(chance):
    assert 0.8 * 600 <= backoff.resync_seconds(PRODUCTION, chance) <= 1.2 * 600


def test_no_failure_count_breaks_it():
    assert backoff.error_seconds(1, 0, 0.5) == 1
    assert backoff.scarce_seconds(1, 10**6, 0.5) == 1440
