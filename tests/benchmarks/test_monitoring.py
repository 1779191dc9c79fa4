"""The windows that false alarms are counted on are those that the bar speaks of."""

from __future__ import annotations

import os

import numpy as np
import pytest

from benchmarks.monitoring.false_alarms import same_mix
from benchmarks.monitoring.trials import outcomes

LABELS = np.repeat(["bags", "dresses", "tops"], [500, 300, 200])


@pytest.mark.parametrize("sizes", [(300, 100), (90, 37), (500, 500)])
def test_reference_and_window_have_the_same_mix_and_no_row_in_common(sizes: tuple[int, int]) -> None:
    """Each class has its share of either, but for one row."""
    was, now = same_mix(LABELS, sizes, seed=1)
    assert (len(was), len(now)) == sizes
    assert len({*was, *now}) == sum(sizes)
    for side in (was, now):
        for label, share in (("bags", 0.5), ("dresses", 0.3), ("tops", 0.2)):
            assert abs((LABELS[side] == label).sum() - share * len(side)) <= 1


def test_every_trial_is_drawn_anew() -> None:
    """Every row is as likely in a window as another of its class, and the same seed draws the same."""
    counts = np.bincount(
        np.concatenate([same_mix(LABELS, (300, 100), seed)[1] for seed in range(400)]), minlength=1000
    )
    assert counts.mean() == pytest.approx(40)
    assert counts.std() < 8  # of independent draws it is 6
    assert all(map(np.array_equal, same_mix(LABELS, (300, 100), 3), same_mix(LABELS, (300, 100), 3)))


def test_trials_run_in_other_processes_in_the_order_of_their_numbers() -> None:
    """A process a core."""
    assert outcomes(_double, 12) == [2 * number for number in range(12)]
    assert os.getpid() not in outcomes(_process, 3)


def _double(number: int) -> int:
    return 2 * number


def _process(number: int) -> int:
    return os.getpid()
