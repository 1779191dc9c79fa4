"""Demographic parity and equalised odds of a classifier of many classes, with intervals.

Both are made for two classes. Here each class is set against the rest, and the largest difference of all
classes counts: demographic parity compares how often a class is answered (Dwork et al. 2012, "Fairness
through awareness"), equalised odds how often it is found and how often another one is taken for it (Hardt et
al. 2016, "Equality of opportunity in supervised learning"), the larger of the two.

The values are fairlearn's. Noise alone makes them large, as the largest of many differences, and the lower
bound allows for that: bootstrap resamples say how far rates stray from those they are drawn from, every
difference is lowered by what only 2.5 % of the resamples exceed anywhere, in standard errors, and the largest
one that is left counts (the single-step maximum of Westfall and Young 1993, "Resampling-based multiple
testing"). The upper bound is the largest of all pairs of groups by Newcombe's interval. The resamples are
counted here, as fairlearn takes 10 ms and more for each class of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from materializers.evaluation.metric import Metric
from steps.evaluation.intervals import ALPHA, WEIGHTS_AT_A_TIME
from steps.evaluation.slices.gap import upper_bound, variances

Numbers: TypeAlias = NDArray[np.int64]
Array: TypeAlias = NDArray[np.float64]


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

    @property
    def members(self) -> list[NDArray[np.bool_]]:
        """Of each group which pictures ``(n,)`` are in it."""
        return [self.group == number for number in range(self.group.max() + 1)]

    def with_enough_of(self, number: int) -> NDArray[np.bool_]:
        """Which pictures ``(n,)`` are in a group that has enough of this class and of all others."""
        is_true = self.true == number
        fewest = [
            min(np.count_nonzero(is_true & members), np.count_nonzero(~is_true & members))
            for members in self.members
        ]
        return np.asarray(fewest)[self.group] >= self.min_class_n


@dataclass(frozen=True)
class Rates:
    """Counts behind m rates of g groups, in each of some resamples.

    Args:
        hits: ``(resamples, m, g)``.
        totals: ``(resamples, m, g)``; NaN where a group has too few pictures to be compared.
    """

    hits: Array
    totals: Array

    @property
    def values(self) -> Array:
        """``(resamples, m, g)``; NaN where there is none."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.hits / self.totals

    def apart(self) -> Array:
        """The highest rate minus the lowest, ``(resamples, m)``; NaN unless two groups have one."""
        known = np.isfinite(self.values)
        highest = np.where(known, self.values, -np.inf).max(axis=2)
        lowest = np.where(known, self.values, np.inf).min(axis=2)
        with np.errstate(invalid="ignore"):
            return np.where(known.sum(axis=2) > 1, highest - lowest, np.nan)


Counting: TypeAlias = Callable[[Array, GroupedAnswers], Rates]
"""From weights ``(resamples, n)``, how often each picture is drawn, to the rates of each resample."""


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
        resamples: within each group, behind the lower bound.
        seed: of the resamples.
    """
    from fairlearn.metrics import demographic_parity_difference

    seen = selection_rates(np.ones((1, len(answers.group))), answers)
    number = int(np.argmax(seen.apart()[0]))
    value = demographic_parity_difference(
        answers.true == number, answers.predicted == number, sensitive_features=answers.group
    )
    drawn = _resampled(selection_rates, answers, resamples, seed)
    return Difference(_with_bounds(value, seen, drawn, answers), number)


def equalized_odds(answers: GroupedAnswers, *, resamples: int, seed: int) -> Difference | None:
    """How far the groups are apart in how often a class is found, or another one is taken for it.

    Args:
        answers: of the groups that are compared; a class is compared between those that have enough of it.
        resamples: within each group, behind the lower bound.
        seed: of the resamples.

    Returns:
        None where no class has enough pictures in two groups.
    """
    from fairlearn.metrics import equalized_odds_difference

    seen = odds_rates(np.ones((1, len(answers.group))), answers)
    apart = seen.apart()[0]
    if not np.isfinite(apart).any():
        return None
    number = int(np.nanargmax(apart)) % answers.k
    rows = answers.with_enough_of(number)
    value = equalized_odds_difference(
        answers.true[rows] == number,
        answers.predicted[rows] == number,
        sensitive_features=answers.group[rows],
    )
    drawn = _resampled(odds_rates, answers, resamples, seed)
    return Difference(_with_bounds(value, seen, drawn, answers), number)


def selection_rates(weights: Array, answers: GroupedAnswers) -> Rates:
    """How often each group is answered with each of the k classes."""
    answered = _one_hot(answers.predicted, answers.k)
    hits = [weights[:, members] @ answered[members] for members in answers.members]
    totals = [
        np.broadcast_to(weights[:, members].sum(axis=1, keepdims=True), hit.shape)
        for members, hit in zip(answers.members, hits, strict=True)
    ]
    return Rates(np.stack(hits, axis=2), np.stack(totals, axis=2))


def odds_rates(weights: Array, answers: GroupedAnswers) -> Rates:
    """The true positive rates of the k classes in each group, then the k false positive rates."""
    is_true, answered = _one_hot(answers.true, answers.k), _one_hot(answers.predicted, answers.k)
    hits, totals = [], []
    for members in answers.members:
        drawn, of_class, as_class = weights[:, members], is_true[members], answered[members]
        found, support = drawn @ (of_class * as_class), drawn @ of_class
        wrong, others = drawn @ as_class - found, drawn.sum(axis=1, keepdims=True) - support
        enough = np.minimum(of_class.sum(axis=0), (1 - of_class).sum(axis=0)) >= answers.min_class_n
        hits.append(np.concatenate([found, wrong], axis=1))
        compared = np.where(np.tile(enough, 2), 1.0, np.nan)
        totals.append(np.concatenate([support, others], axis=1) * compared)
    return Rates(np.stack(hits, axis=2), np.stack(totals, axis=2))


def _one_hot(numbers: Numbers, k: int) -> Array:
    """``(n, k)``; UNUSABLE counts back from the end, to a column that is cut off."""
    return np.eye(k + 1)[numbers][:, :k]


def _resampled(counting: Counting, answers: GroupedAnswers, resamples: int, seed: int) -> Iterator[Rates]:
    """The rates of bootstrap resamples, some at a time; each group is resampled for itself."""
    generator = np.random.default_rng(seed)
    n = len(answers.group)
    at_a_time = max(1, WEIGHTS_AT_A_TIME // n)
    for start in range(0, resamples, at_a_time):
        draws = min(at_a_time, resamples - start)
        weights = np.empty((draws, n))
        for members in answers.members:
            size = int(np.count_nonzero(members))
            weights[:, members] = generator.multinomial(size, np.full(size, 1 / size), size=draws)
        yield counting(weights, answers)


def _with_bounds(value: float, seen: Rates, drawn: Iterator[Rates], answers: GroupedAnswers) -> Metric:
    rates, totals = seen.values[0], seen.totals[0]
    variance = variances(seen.hits[0], totals)
    pairs = [(one, other) for one, other in combinations(range(rates.shape[1]), 2)]
    errors = np.stack([np.sqrt(variance[:, one] + variance[:, other]) for one, other in pairs])
    strayed = np.concatenate([_farthest(each.values - rates, pairs, errors) for each in drawn])
    apart = np.stack([np.abs(rates[:, one] - rates[:, other]) for one, other in pairs])
    low = np.nanmax(apart - np.quantile(strayed, 1 - ALPHA / 2) * errors)
    high = max(
        upper_bound(hits[known], of[known])
        for hits, of, known in zip(seen.hits[0], totals, np.isfinite(totals), strict=True)
        if np.count_nonzero(known) > 1
    )
    return Metric(
        value=float(value),
        low=max(0.0, float(low)),
        high=high,
        n=int(np.bincount(answers.group).min()),
    )


def _farthest(strayed: Array, pairs: list[tuple[int, int]], errors: Array) -> Array:
    """By how many standard errors a difference strays at most in each resample.

    Args:
        strayed: ``(resamples, m, g)``, each rate minus the one that was seen.
        pairs: of groups.
        errors: ``(pairs, m)``, the standard error of each difference; NaN for one that is not compared.

    Returns:
        ``(resamples,)``.
    """
    farthest = np.zeros(len(strayed))
    for (one, other), error in zip(pairs, errors, strict=True):
        each = np.abs(strayed[..., one] - strayed[..., other]) / error
        farthest = np.maximum(farthest, np.nan_to_num(each, nan=0.0).max(axis=1))
    return farthest
