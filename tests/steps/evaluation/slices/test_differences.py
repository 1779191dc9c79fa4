"""Demographic parity and equalised odds, against fairlearn."""

from __future__ import annotations

import numpy as np
import pytest
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.evaluation.metrics import UNUSABLE
from steps.evaluation.slices.differences import (
    GroupedAnswers,
    demographic_parity,
    equalized_odds,
    odds,
    parity,
)


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
    np.testing.assert_allclose(parity(once, answers)[0], expected[:, 0])
    np.testing.assert_allclose(odds(once, answers)[0], expected[:, 1])


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
        np.testing.assert_allclose(parity(weights, answers)[number], parity(once, alone)[0])
        np.testing.assert_allclose(odds(weights, answers)[number], odds(once, alone)[0])


def test_the_class_with_the_largest_difference_counts() -> None:
    """Group 1 takes class 2 for class 0, and nothing else is wrong."""
    true, group = np.arange(180) % 3, np.arange(180) // 90
    predicted = np.where((group == 1) & (true == 2) & (np.arange(180) % 2 == 0), 0, true)
    answers = GroupedAnswers(true, predicted, group, 3, 20)
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
    found = odds(np.ones((1, 200)), answers)[0]
    assert found[:2].tolist() == [0, 0]
    assert np.isnan(found[2])
    assert answers.of_class(2).tolist() == (group == 0).tolist()
    metric = equalized_odds(answers, resamples=100, seed=0)
    assert metric is not None
    assert metric.metric.value == 0


def test_too_few_pictures_of_every_class_are_no_odds() -> None:
    """Each group has 20 of each class, and 21 are asked for."""
    group, true = np.arange(120) % 2, np.arange(120) // 2 % 3
    enough, few = (GroupedAnswers(true, true, group, 3, least) for least in (20, 21))
    assert equalized_odds(enough, resamples=100, seed=0) is not None
    assert equalized_odds(few, resamples=100, seed=0) is None


def test_what_noise_adds_is_taken_back() -> None:
    """Of equal groups the largest difference of many is no small one, and seldom a significant one."""
    generator = np.random.default_rng(1)
    values, lows = [], []
    for seed in range(60):
        true, group = generator.integers(0, 5, 450), generator.integers(0, 4, 450)
        predicted = np.where(generator.random(450) < 0.9, true, generator.integers(0, 5, 450))
        answers = GroupedAnswers(true, predicted, group, 5, 5)
        found = equalized_odds(answers, resamples=100, seed=seed)
        assert found is not None
        values.append(found.metric.value)
        lows.append(found.metric.low)
    assert np.mean([value is not None and value > 0.1 for value in values]) > 0.9
    assert np.mean([low is not None and low > 0.05 for low in lows]) <= 0.05


def test_the_same_seed_gives_the_same_interval() -> None:
    """Resamples are drawn from the seed alone."""
    answers = random_answers(3)
    first, second = (demographic_parity(answers, resamples=100, seed=5) for _ in range(2))
    assert first == second
    assert first != demographic_parity(answers, resamples=100, seed=6)
