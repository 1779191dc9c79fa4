"""Demographic parity and equalised odds, against fairlearn."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pytest
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.evaluation.metrics import UNUSABLE
from steps.evaluation.slices.differences import (
    Difference,
    GroupedAnswers,
    demographic_parity,
    equalized_odds,
    odds_rates,
    selection_rates,
)


class Measure(Protocol):
    """One of the two differences."""

    def __call__(self, answers: GroupedAnswers, *, resamples: int, seed: int) -> Difference | None: ...


def random_answers(seed: int, n: int = 120, k: int = 3, groups: int = 3) -> GroupedAnswers:
    """Answers that are often right, some of them unusable; every group has every class."""
    generator = np.random.default_rng(seed)
    group, true = np.arange(n) % groups, np.arange(n) // groups % k
    predicted = np.where(generator.random(n) < 0.7, true, generator.integers(UNUSABLE, k, n))
    return GroupedAnswers(true=true, predicted=predicted, group=group, k=k, min_class_n=2)


def alike(answers: GroupedAnswers, number: int) -> tuple[float, float]:
    """Fairlearn's two differences of one class against the rest."""
    about = (answers.true == number, answers.predicted == number)
    return (
        demographic_parity_difference(*about, sensitive_features=answers.group),
        equalized_odds_difference(*about, sensitive_features=answers.group),
    )


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), k=st.integers(2, 4), groups=st.integers(2, 4))
def test_each_class_agrees_with_fairlearn(seed: int, k: int, groups: int) -> None:
    """What the bootstrap counts is what fairlearn computes; an unusable answer is one of no class."""
    answers = random_answers(seed, k=k, groups=groups)
    once = np.ones((1, len(answers.group)))
    expected = np.array([alike(answers, number) for number in range(k)])
    np.testing.assert_allclose(selection_rates(once, answers).apart()[0], expected[:, 0])
    np.testing.assert_allclose(odds_rates(once, answers).apart().reshape(2, k).max(axis=0), expected[:, 1])


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_resample_is_measured_as_if_its_rows_were_repeated(seed: int) -> None:
    """Weights give the same differences as the drawn rows themselves."""
    answers = random_answers(seed)
    weights = np.random.default_rng(seed).integers(1, 4, (2, len(answers.group))).astype(np.float64)
    for number, row in enumerate(weights.astype(int)):
        drawn = np.repeat(np.arange(len(row)), row)
        alone = GroupedAnswers(
            answers.true[drawn],
            answers.predicted[drawn],
            answers.group[drawn],
            answers.k,
            answers.min_class_n,
        )
        once = np.ones((1, len(drawn)))
        for rates in (selection_rates, odds_rates):
            np.testing.assert_allclose(rates(weights, answers).values[number], rates(once, alone).values[0])


def one_class_mistaken() -> GroupedAnswers:
    """Group 1 takes half of class 2 for class 0, and nothing else is wrong."""
    true, group = np.arange(180) % 3, np.arange(180) // 90
    predicted = np.where((group == 1) & (true == 2) & (np.arange(180) % 2 == 0), 0, true)
    return GroupedAnswers(true, predicted, group, 3, 20)


def test_the_class_with_the_largest_difference_counts() -> None:
    """The class that is not found, and either of the two that are answered too often or too seldom."""
    answers = one_class_mistaken()
    parities, rates = (
        demographic_parity(answers, resamples=200, seed=0),
        equalized_odds(answers, resamples=200, seed=0),
    )
    assert rates is not None
    assert rates.class_number == 2
    assert rates.metric.value == pytest.approx(0.5)
    assert parities.class_number in {0, 2}
    assert parities.metric.value == pytest.approx(1 / 6)
    assert (rates.metric.n, parities.metric.n) == (90, 90)
    for metric in (rates.metric, parities.metric):
        assert metric.low is not None
        assert metric.high is not None
        assert 0 < metric.low < (metric.value or 0) < metric.high < 1


def test_a_class_that_a_group_lacks_is_not_compared() -> None:
    """Fairlearn takes a rate of nothing for 0, and would find the largest difference there is."""
    group = np.arange(200) % 2
    true = np.where(group == 0, np.arange(200) // 2 % 3, np.arange(200) // 2 % 2)
    answers = GroupedAnswers(true, true, group, 3, 20)
    assert alike(answers, 2)[1] == 1
    found = odds_rates(np.ones((1, 200)), answers).apart().reshape(2, 3)
    assert found[:, :2].tolist() == [[0, 0], [0, 0]]
    assert np.isnan(found[:, 2]).all()
    assert answers.with_enough_of(2).tolist() == (group == 0).tolist()
    metric = equalized_odds(answers, resamples=100, seed=0)
    assert metric is not None
    assert metric.metric.value == 0


def test_too_few_pictures_of_every_class_are_no_odds() -> None:
    """Each group has 20 of each class, and 21 are asked for."""
    group, true = np.arange(120) % 2, np.arange(120) // 2 % 3
    enough, few = (GroupedAnswers(true, true, group, 3, least) for least in (20, 21))
    assert equalized_odds(enough, resamples=100, seed=0) is not None
    assert equalized_odds(few, resamples=100, seed=0) is None


@pytest.mark.parametrize("measure", [equalized_odds, demographic_parity])
def test_noise_is_seldom_a_difference(measure: Measure) -> None:
    """Of equal groups the largest difference of many is no small one, and seldom a significant one."""
    generator = np.random.default_rng(1)
    values, lows = [], []
    for seed in range(60):
        true, group = generator.integers(0, 5, 450), generator.integers(0, 4, 450)
        predicted = np.where(generator.random(450) < 0.9, true, generator.integers(0, 5, 450))
        found = measure(GroupedAnswers(true, predicted, group, 5, 5), resamples=100, seed=seed)
        assert found is not None
        values.append(found.metric.value or 0)
        lows.append(found.metric.low or 0)
    assert np.mean(values) > 0.1
    assert np.count_nonzero(lows) <= 0.08 * 60


def test_the_same_seed_gives_the_same_interval() -> None:
    """Resamples are drawn from the seed alone."""
    answers = one_class_mistaken()
    first, second = (equalized_odds(answers, resamples=100, seed=5) for _ in range(2))
    assert first == second
    assert first != equalized_odds(answers, resamples=100, seed=6)
