"""Demographic parity and equalised odds of a classifier of many classes, with bootstrap intervals.

Both are made for two classes. Here each class is set against the rest, and the largest difference of all
classes counts: demographic parity compares how often a class is answered (Dwork et al. 2012, "Fairness
through awareness"), equalised odds how often it is found and how often another one is taken for it (Hardt et
al. 2016, "Equality of opportunity in supervised learning"), the larger of the two.

The values are fairlearn's. Their bootstrap is not: fairlearn takes 10 ms and more for each class of each
resample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from materializers.evaluation.metric import Metric
from steps.evaluation.metrics import INTERVAL, WEIGHTS_AT_A_TIME

Numbers = NDArray[np.int64]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class GroupedAnswers:
    """Answers on n pictures, each of one group.

    Args:
        true: ``(n,)`` int64, the class numbers.
        predicted: ``(n,)`` int64, the class numbers, or ``UNUSABLE``, which is an answer of no class.
        group: ``(n,)`` int64, 0 to g - 1; no group is empty.
        k: the number of classes.
        min_class_n: pictures of a class, and of all others, that a group must have for the class's odds.
    """

    true: Numbers
    predicted: Numbers
    group: Numbers
    k: int
    min_class_n: int

    def of_class(self, number: int) -> NDArray[np.bool_]:
        """Which pictures ``(n,)`` are in a group that has enough of this class and of all others."""
        is_true = self.true == number
        enough = [
            min(np.count_nonzero(is_true & members), np.count_nonzero(~is_true & members)) >= self.min_class_n
            for members in (self.group == each for each in range(self.group.max() + 1))
        ]
        return np.asarray(enough)[self.group]


@dataclass(frozen=True)
class Difference:
    """The largest difference of all classes.

    Args:
        metric: with its interval; n counts the smallest group.
        class_number: the class where it is.
    """

    metric: Metric
    class_number: int


def demographic_parity(answers: GroupedAnswers, *, resamples: int, seed: int) -> Difference:
    """How far the groups are apart in how often a class is answered.

    Args:
        answers: of the groups that are compared.
        resamples: within each group, behind the interval.
        seed: of the resamples.
    """
    from fairlearn.metrics import demographic_parity_difference

    number = int(np.argmax(parity(np.ones((1, len(answers.group))), answers)[0]))
    value = demographic_parity_difference(
        answers.true == number, answers.predicted == number, sensitive_features=answers.group
    )
    drawn = [parity(weights, answers).max(axis=1) for weights in _resampled(answers, resamples, seed)]
    return Difference(_basic(float(value), np.concatenate(drawn), answers), number)


def equalized_odds(answers: GroupedAnswers, *, resamples: int, seed: int) -> Difference | None:
    """How far the groups are apart in how often a class is found, or another one is taken for it.

    Args:
        answers: of the groups that are compared; a class is compared between those that have enough of it.
        resamples: within each group, behind the interval.
        seed: of the resamples.

    Returns:
        None where no class has enough pictures in two groups.
    """
    from fairlearn.metrics import equalized_odds_difference

    point = odds(np.ones((1, len(answers.group))), answers)[0]
    if not np.isfinite(point).any():
        return None
    number = int(np.nanargmax(point))
    rows = answers.of_class(number)
    value = equalized_odds_difference(
        answers.true[rows] == number,
        answers.predicted[rows] == number,
        sensitive_features=answers.group[rows],
    )
    compared = np.isfinite(point)
    drawn = [
        odds(weights, answers)[:, compared].max(axis=1) for weights in _resampled(answers, resamples, seed)
    ]
    return Difference(_basic(float(value), np.concatenate(drawn), answers), number)


def parity(weights: Array, answers: GroupedAnswers) -> Array:
    """The difference of each class in how often it is answered.

    Args:
        weights: ``(resamples, n)``, how often each picture is drawn.
        answers: of the n pictures.

    Returns:
        ``(resamples, k)``.
    """
    answered = _one_hot(answers.predicted, answers.k)
    return _apart(
        [
            weights[:, members] @ answered[members] / weights[:, members].sum(axis=1, keepdims=True)
            for members in _members(answers)
        ]
    )


def odds(weights: Array, answers: GroupedAnswers) -> Array:
    """The difference of each class in its true or its false positive rate, the larger one.

    Args:
        weights: ``(resamples, n)``, how often each picture is drawn.
        answers: of the n pictures.

    Returns:
        ``(resamples, k)``; NaN where fewer than two groups have enough pictures of the class.
    """
    is_true, answered = _one_hot(answers.true, answers.k), _one_hot(answers.predicted, answers.k)
    found, wrong = [], []
    for members in _members(answers):
        drawn, of_class, as_class = weights[:, members], is_true[members], answered[members]
        enough = np.minimum(of_class.sum(axis=0), (1 - of_class).sum(axis=0)) >= answers.min_class_n
        support, hits = drawn @ of_class, drawn @ (of_class * as_class)
        others = drawn.sum(axis=1, keepdims=True) - support
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append(np.where(enough, hits / support, np.nan))
            wrong.append(np.where(enough, (drawn @ as_class - hits) / others, np.nan))
    return np.maximum(_apart(found), _apart(wrong))


def _one_hot(numbers: Numbers, k: int) -> Array:
    """``(n, k)``; UNUSABLE counts back from the end, to a column that is cut off."""
    return np.eye(k + 1)[numbers][:, :k]


def _members(answers: GroupedAnswers) -> list[NDArray[np.bool_]]:
    return [answers.group == number for number in range(answers.group.max() + 1)]


def _apart(rates: list[Array]) -> Array:
    """The highest rate of a group minus the lowest; NaN unless two groups have one."""
    each = np.stack(rates)
    known = np.isfinite(each)
    highest = np.where(known, each, -np.inf).max(axis=0)
    lowest = np.where(known, each, np.inf).min(axis=0)
    with np.errstate(invalid="ignore"):
        return np.where(known.sum(axis=0) > 1, highest - lowest, np.nan)


def _resampled(answers: GroupedAnswers, resamples: int, seed: int) -> Iterator[Array]:
    """Weights ``(draws, n)``, some resamples at a time; each group is resampled for itself."""
    generator = np.random.default_rng(seed)
    n = len(answers.group)
    at_a_time = max(1, WEIGHTS_AT_A_TIME // n)
    for start in range(0, resamples, at_a_time):
        draws = min(at_a_time, resamples - start)
        weights = np.empty((draws, n))
        for members in _members(answers):
            size = int(np.count_nonzero(members))
            weights[:, members] = generator.multinomial(size, np.full(size, 1 / size), size=draws)
        yield weights


def _basic(value: float, drawn: Array, answers: GroupedAnswers) -> Metric:
    """A difference with its basic bootstrap interval, which takes back what noise adds.

    The largest of many differences is larger in a resample than in the rows, as it is larger in the rows than
    in truth; so the interval is mirrored at the value (Davison and Hinkley 1997, "Bootstrap Methods and their
    Application", section 5.2). It always contains the value.
    """
    defined = drawn[np.isfinite(drawn)]
    n = int(np.bincount(answers.group).min())
    if not len(defined):
        return Metric(value=value, n=n)
    low, high = np.percentile(defined, INTERVAL)
    return Metric(
        value=value,
        low=float(np.clip(2 * value - high, 0, value)),
        high=float(np.clip(2 * value - low, value, 1)),
        n=n,
    )
