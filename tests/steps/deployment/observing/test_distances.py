"""Distances of distributions, with bounds that hold for any of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from steps.deployment.observing.distances import (
    kolmogorov,
    kolmogorov_reach,
    total_variation,
    total_variation_reach,
)


def test_kolmogorovs_distance_is_that_of_scipy() -> None:
    """With ties, too."""
    generator = np.random.default_rng(0)
    first, second = generator.beta(8, 1, 300).round(2), generator.beta(4, 1, 1000).round(2)
    assert kolmogorov(first, second) == pytest.approx(ks_2samp(first, second).statistic)
    assert kolmogorov(first, first) == 0
    assert kolmogorov(np.zeros(3), np.ones(5)) == 1


def test_total_variation_is_the_share_that_would_have_to_change_class() -> None:
    """A tenth went from the first class to the second."""
    first, second = np.array([0] * 5 + [1] * 5), np.array([0] * 4 + [1] * 6)
    assert total_variation(first, second, 3) == pytest.approx(0.1)
    assert total_variation(np.array([0]), np.array([2]), 3) == 1


@pytest.mark.parametrize(("n", "m"), [(20, 180), (400, 3600)])
def test_the_distance_of_samples_is_within_its_reach_of_the_true_one(n: int, m: int) -> None:
    """Of 2,000 pairs of samples, by no more than the level are farther off."""
    generator = np.random.default_rng(1)
    rounds, level, classes = 2000, 0.02, 3
    shares = (np.array([0.5, 0.3, 0.2]), np.array([0.3, 0.5, 0.2]))
    off = np.zeros((2, rounds))
    for place in range(rounds):
        ours, theirs = (generator.choice(classes, n, p=shares[0]), generator.choice(classes, m, p=shares[1]))
        off[0, place] = total_variation(ours, theirs, classes) - 0.2
        off[1, place] = kolmogorov(generator.random(n), 0.3 + generator.random(m)) - 0.3
    assert (np.abs(off[0]) > total_variation_reach(n, m, classes, level)).mean() <= level
    assert (np.abs(off[1]) > kolmogorov_reach(n, m, level)).mean() <= level


def test_more_requests_reach_less_far() -> None:
    """And a smaller level farther."""
    assert kolmogorov_reach(400, 3600, 0.01) < kolmogorov_reach(40, 360, 0.01)
    assert kolmogorov_reach(40, 360, 0.01) < kolmogorov_reach(40, 360, 0.001)
    assert total_variation_reach(400, 3600, 5, 0.01) < total_variation_reach(400, 3600, 50, 0.01)
