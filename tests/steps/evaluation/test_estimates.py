"""Shares and means with their intervals."""

import numpy as np
import pytest

from steps.evaluation.estimates import mean_of, share_of


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_a_share_has_wilsons_interval(hits: int, n: int, low: float, high: float) -> None:
    """As it is printed in Newcombe 1998, "Two-sided confidence intervals for the single proportion"."""
    found = share_of(np.arange(n) < hits)
    assert (found.value, found.n) == (hits / n, n)
    assert [found.low, found.high] == pytest.approx([low, high], abs=5e-5)


def test_without_a_case_there_is_no_share() -> None:
    """Neither a number nor an interval is made up."""
    found = share_of(np.zeros(0, dtype=bool))
    assert (found.value, found.low, found.high, found.n) == (None, None, None, 0)


def test_the_interval_of_a_mean_holds_it_as_often_as_it_says() -> None:
    """In 95 of 100 samples, more or less."""
    generator = np.random.default_rng(1)
    found = [mean_of(generator.exponential(2.0, 200)) for _ in range(1000)]
    held = [each.low is not None and each.high is not None and each.low <= 2.0 <= each.high for each in found]
    assert np.mean(held) == pytest.approx(0.95, abs=0.025)


def test_a_mean_of_one_value_has_no_interval_and_of_none_no_value() -> None:
    """What cannot be estimated is not."""
    assert mean_of(np.array([0.25])).model_dump() == {"value": 0.25, "low": None, "high": None, "n": 1}
    assert mean_of(np.zeros(0)).value is None
