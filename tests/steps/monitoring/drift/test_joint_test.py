"""All distances together are found unusual as often as allowed, and what differs is found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from steps.monitoring.drift.distances import (
    domain_classifier,
    kolmogorov_smirnov,
    mean_difference,
    population_stability,
)
from steps.monitoring.drift.joint_test import Block, Judged, judge_jointly

REFERENCE, WINDOW = 80, 60


def judged(values: np.ndarray, *, level: float = 0.1, seed: int = 0) -> dict[str, Judged]:
    """Two distances of each column."""
    named = {}
    for number, column in enumerate(values.T):
        named[f"ks{number}"] = kolmogorov_smirnov(column[:, None])
        named[f"mean{number}"] = mean_difference(column)
    return judge_jointly([Block(REFERENCE, WINDOW, named)], permutations=99, level=level, seed=seed)


def test_a_false_alarm_of_any_distance_is_as_rare_as_the_level() -> None:
    """Where nothing differs, any of eight distances is unusual in about one of ten windows, not in eight."""
    draw = np.random.default_rng(0)
    trials = 300
    alarms = sum(
        any(each.unusual for each in judged(draw.normal(size=(140, 4)), seed=trial).values())
        for trial in range(trials)
    )
    assert 0.05 <= alarms / trials <= 0.15


def test_the_joint_p_is_as_small_as_it_says_as_often_as_it_says() -> None:
    """Of 200 windows like the reference, by 1,000 permutations, at the level that is used and at others.

    Within what a count of so many fair trials does not leave once in a thousand times, either way.
    """
    draw, trials = np.random.default_rng(0), 200
    smallest = []
    for trial in range(trials):
        values = draw.normal(size=(120, 6)) @ draw.normal(size=(6, 6))
        distances = {
            "statistics": kolmogorov_smirnov(values[:, :3]),
            "shares": population_stability((values[:, 3] > 0).astype(int), 2),
            "mean": mean_difference(values[:, 4]),
            "embeddings": domain_classifier(values.astype(np.float32), trial),
        }
        found = judge_jointly([Block(70, 50, distances)], permutations=1000, level=0.025, seed=trial)
        smallest.append(min(each.p for each in found.values()))
        assert any(each.unusual for each in found.values()) == (smallest[-1] <= 0.025)
    for level in (0.025, 0.1, 0.25, 0.5, 0.75):
        least, most = binom.interval(0.998, trials, level)
        assert least <= sum(p <= level for p in smallest) <= most, level


def test_what_differs_is_found_and_the_others_are_not() -> None:
    """A column that moved is unusual, by a small p; a column that did not is not."""
    values = np.random.default_rng(1).normal(size=(140, 2))
    values[REFERENCE:, 0] += 1.5
    found = judged(values)
    assert found["mean0"].unusual
    assert found["mean0"].p == pytest.approx(0.01)
    assert not found["mean1"].unusual
    assert found["mean1"].p > 0.1


def test_the_threshold_is_in_the_units_of_the_distance() -> None:
    """A value above its threshold is unusual, and p says the same: no more than the level."""
    for seed in range(20):
        values = np.random.default_rng(seed).normal(size=(140, 2))
        values[REFERENCE:, 0] += 0.35
        for each in judged(values, seed=seed).values():
            assert each.unusual == (each.value > each.threshold)
            assert each.unusual == (each.p <= 0.1)


def test_what_is_constant_says_nothing() -> None:
    """A distance that is the same for every parting, as the width of equal pictures, is never unusual."""
    found = judged(np.ones((140, 1)))
    assert not any(each.unusual for each in found.values())


def test_the_same_rows_come_to_the_same_answer() -> None:
    """The partings are drawn from the seed alone."""
    values = np.random.default_rng(2).normal(size=(140, 2))
    assert judged(values) == judged(values)


def test_blocks_of_other_sizes_are_tested_at_one_level() -> None:
    """Rows that only some pictures have are parted among themselves, and what differs there is found."""
    draw = np.random.default_rng(3)
    few = draw.normal(size=50)
    few[30:] += 3
    blocks = [
        Block(REFERENCE, WINDOW, {"all": mean_difference(draw.normal(size=140))}),
        Block(30, 20, {"few": mean_difference(few)}),
    ]
    found = judge_jointly(blocks, permutations=99, level=0.1, seed=0)
    assert found["few"].unusual
    assert not found["all"].unusual
