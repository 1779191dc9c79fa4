"""Champion and candidate compared in one figure each, on the requests that there are at one look."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from materializers.observation import Compared
from steps.deployment.observing.distances import (
    kolmogorov,
    kolmogorov_reach,
    total_variation,
    total_variation_reach,
)
from steps.deployment.observing.moments import NEVER
from steps.deployment.observing.outcomes import FAILED, REJECTED, Outcomes
from steps.deployment.observing.planning import (
    ABSTENTION,
    ACCURACY,
    CLASS_SHARES,
    ERRORS,
    MEDIAN,
    PROBABILITY,
    REJECTIONS,
    TAIL,
    VALUE,
    Figure,
)
from steps.deployment.observing.rates import as_bad_p, bounds, worse_p

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steps.deployment.observing.settings import Margins

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
QUANTILES = ((MEDIAN, 0.5), (TAIL, 0.95))
LEAST_VALUES = 30
"""Of a mean: with fewer its distribution is too far from a normal one for so small levels."""
ROUNDS = 8
"""Of an equation that is solved by putting in what comes out: each gives two digits at least."""
LEAST_MS = 1e-9
"""Of a latency that others are divided by."""


class Levels(NamedTuple):
    """How often the tests of one figure may be wrong at one look: of harm, and of the promotion."""

    harm: float
    level: float


@dataclass(frozen=True)
class Arm:
    """The outcomes of one version, counted up so that any number of the first ones is looked at quickly.

    Args:
        outcomes: of the version.
        label: ``(n,)``, its classes, numbered alike in both arms.
    """

    outcomes: Outcomes
    label: Counts

    @cached_property
    def failed(self) -> Counts:
        """``(n + 1,)``: of the first i requests, how many failed."""
        return _summed(self.outcomes.status >= FAILED)

    @cached_property
    def rejected(self) -> Counts:
        """``(n + 1,)``: of the first i requests, how many were refused."""
        return _summed((self.outcomes.status >= REJECTED) & (self.outcomes.status < FAILED))

    @cached_property
    def answered(self) -> Counts:
        """``(n + 1,)``: of the first i requests, how many have an answer."""
        return _summed(self.outcomes.answered)

    @cached_property
    def abstained(self) -> Counts:
        """``(n + 1,)``: of the first i requests, how many have an answer that abstains."""
        return _summed(self.outcomes.abstained)

    @cached_property
    def latency(self) -> Floats:
        """Of the requests that have an answer: what fails may do so fast."""
        return self.outcomes.latency_ms[self.outcomes.answered]

    @cached_property
    def probability(self) -> Floats:
        """Of the requests that have an answer."""
        return self.outcomes.probability[self.outcomes.answered]

    @cached_property
    def classes(self) -> Counts:
        """Of the requests that have an answer."""
        return self.label[self.outcomes.answered]

    @cached_property
    def labelled(self) -> tuple[NDArray[np.int64], Counts]:
        """When labels came, ascending, and ``(labels + 1,)``: of the first i, how many answers were wrong."""
        order = np.argsort(self.outcomes.labelled_at, kind="stable")
        order = order[self.outcomes.labelled_at[order] < NEVER]
        return self.outcomes.labelled_at[order], _summed(~self.outcomes.correct[order])

    @cached_property
    def valued(self) -> tuple[NDArray[np.int64], Floats]:
        """When business figures came, ascending, and which."""
        order = np.argsort(self.outcomes.valued_at, kind="stable")
        order = order[self.outcomes.valued_at[order] < NEVER]
        return self.outcomes.valued_at[order], self.outcomes.value[order]


def of_requests(
    champion: Arm,
    candidate: Arm,
    sizes: tuple[int, int],
    margins: Margins,
    levels: Levels,
    *,
    classes: int,
    bounded: bool,
) -> tuple[Compared, ...]:
    """Every figure that needs no feedback.

    Args:
        champion: its outcomes.
        candidate: its outcomes.
        sizes: of champion and candidate, how many of the first requests there are.
        margins: what is tolerated.
        levels: of the tests.
        classes: of both versions.
        bounded: whether bounds are computed; the decision does not need them.
    """
    arms = (champion, candidate)
    answered = tuple(int(arm.answered[size]) for arm, size in zip(arms, sizes, strict=True))
    pair = (answered[0], answered[1])
    return (
        *_rates(
            (ERRORS, REJECTIONS, ABSTENTION),
            events=[
                tuple(int(getattr(arm, what)[size]) for arm, size in zip(arms, sizes, strict=True))
                for what in ("failed", "rejected", "abstained")
            ],
            sizes=(sizes, sizes, pair),
            margins=(margins.errors, margins.rejections, margins.abstention),
            levels=levels,
            bounded=bounded,
        ),
        *(
            _quantile(
                which, q, champion.latency[: pair[0]], candidate.latency[: pair[1]], margins, levels, bounded
            )
            for which, q in QUANTILES
        ),
        *_scores(champion, candidate, pair, margins, levels, classes),
    )


def of_labels(
    champion: Arm, candidate: Arm, sizes: tuple[int, int], margin: float, levels: Levels, *, bounded: bool
) -> tuple[Compared, ...]:
    """Accuracy on the first labels that came to each; arguments as of :func:`of_requests`."""
    wrong = (int(champion.labelled[1][sizes[0]]), int(candidate.labelled[1][sizes[1]]))
    return _rates((ACCURACY,), [wrong], (sizes,), (margin,), levels, bounded=bounded)


def of_values(
    champion: Arm, candidate: Arm, sizes: tuple[int, int], margin: float, levels: Levels, *, gain: bool
) -> tuple[Compared, ...]:
    """The mean business figure of the first values that came to each, by Welch's test (1947).

    The margin is a share of the champion's mean, which is itself measured: the candidate's mean is compared
    with the champion's times 1 ∓ the margin.

    Args:
        champion: its outcomes.
        candidate: its outcomes.
        sizes: of champion and candidate, how many of the first values there are.
        margin: relative.
        levels: of the tests.
        gain: whether more is better.
    """
    values = [arm.valued[1][:size] for arm, size in zip((champion, candidate), sizes, strict=True)]
    means = [float(each.mean()) if len(each) else None for each in values]
    signal, figure = VALUE
    about = {
        "signal": signal,
        "figure": figure,
        "unit": "mean",
        "champion": means[0],
        "candidate": means[1],
        "n_champion": sizes[0],
        "n_candidate": sizes[1],
        "margin": margin,
    }
    if min(sizes) < LEAST_VALUES or not means[0] or means[1] is None:
        lacking = f"business figures: {sizes[1]} of the candidate and {sizes[0]} of the champion"
        return (Compared(**about, worse=None, harmful=False, shown=False, lacking=lacking),)
    base, sign = abs(means[0]), 1 if gain else -1
    worse = sign * (means[0] - means[1]) / base
    low, high = (
        _welch_bound(values, means[0], worse, level, side=side, sign=sign)
        for side, level in ((-1, levels.harm), (1, levels.level))
    )
    return (Compared(**about, worse=worse, low=low, high=high, harmful=low > margin, shown=high < margin),)


def _welch_bound(
    values: Sequence[Floats], mean: float, worse: float, level: float, *, side: int, sign: int
) -> float:
    """A bound of the relative difference of means: where the test of "worse by just this" has its level.

    It solves an equation that it stands on both sides of (Fieller 1954, Journal of the Royal Statistical
    Society B 16, 175–185), by putting what is found into it again.
    """
    from scipy.stats import t

    scatter = [float(each.var(ddof=1)) / len(each) for each in values]
    base, bound = abs(mean), worse
    for _ in range(ROUNDS):
        factor = 1 - sign * bound * np.sign(mean)
        of_champion = factor**2 * scatter[0]
        variance = of_champion + scatter[1]
        if not variance:
            return worse
        degrees = variance**2 / (
            of_champion**2 / (len(values[0]) - 1) + scatter[1] ** 2 / (len(values[1]) - 1)
        )
        bound = worse + side * float(t.isf(level, degrees)) * math.sqrt(variance) / base
    return bound


def _rates(
    which: Sequence[Figure],
    events: Sequence[tuple[int, ...]],
    sizes: Sequence[tuple[int, int]],
    margins: Sequence[float],
    levels: Levels,
    *,
    bounded: bool,
) -> tuple[Compared, ...]:
    """Shares of both, of which more is worse; an accuracy comes as the share of what is wrong."""
    counted, of = np.asarray(events, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    table = (counted[:, 1], of[:, 1], counted[:, 0], of[:, 0])
    harmful = worse_p(*table, margins) <= levels.harm
    shown = as_bad_p(*table, margins) <= levels.level
    low, high = bounds(*table, harm=levels.harm, level=levels.level) if bounded else (None, None)
    found = []
    for place, ((signal, figure), (n_champion, n_candidate), margin) in enumerate(
        zip(which, sizes, margins, strict=True)
    ):
        shares = [float(counted[place, arm] / of[place, arm]) if of[place, arm] else None for arm in (0, 1)]
        lacking = _lacking("labels" if signal == "accuracy" else "requests", n_champion, n_candidate)
        worse = None if lacking else float(shares[1] or 0) - float(shares[0] or 0)
        if signal == "accuracy":
            shares = [None if share is None else 1 - share for share in shares]
        found.append(
            Compared(
                signal=signal,
                figure=figure,
                unit="share",
                champion=shares[0],
                candidate=shares[1],
                n_champion=n_champion,
                n_candidate=n_candidate,
                worse=worse,
                low=None if low is None or lacking else float(low[place]),
                high=None if high is None or lacking else float(high[place]),
                margin=margin,
                harmful=bool(harmful[place]),
                shown=bool(shown[place]),
                lacking=lacking,
            )
        )
    return tuple(found)


def _quantile(
    which: Figure,
    q: float,
    champion: Floats,
    candidate: Floats,
    margins: Margins,
    levels: Levels,
    bounded: bool,
) -> Compared:
    """A quantile of the latency: how many of the candidate's are above what is tolerated of the champion's.

    Mathisen's test (1943, Annals of Mathematical Statistics 14, 188–194), which holds for any distribution:
    of two equal ones the candidate has as many requests above the champion's quantile as the champion itself.
    """
    (signal, figure), n, m = which, len(candidate), len(champion)
    about = {"signal": signal, "figure": figure, "unit": "ratio", "n_champion": m, "n_candidate": n}
    lacking = _lacking("answers", m, n)
    if lacking:
        return Compared(
            **about,
            champion=None,
            candidate=None,
            worse=None,
            margin=margins.latency,
            harmful=False,
            shown=False,
            lacking=lacking,
        )
    place = math.ceil(q * m) - 1
    known = max(float(np.partition(champion, place)[place]), LEAST_MS)
    limit = max(known * (1 + margins.latency), known + margins.latency_ms)
    own = math.ceil(q * n) - 1
    measured = float(np.partition(candidate, own)[own])
    above = m - 1 - place
    over, reached = int(np.count_nonzero(candidate > limit)), int(np.count_nonzero(candidate >= limit))
    low = high = None
    if bounded:
        low, high = _ratio_bounds(np.sort(candidate)[::-1] / known - 1, above, m, levels)
    return Compared(
        **about,
        champion=known,
        candidate=measured,
        worse=measured / known - 1,
        low=low,
        high=high,
        margin=limit / known - 1,
        harmful=bool(worse_p(over, n, above, m, 0.0) <= levels.harm),
        shown=bool(as_bad_p(reached, n, above, m, 0.0) <= levels.level),
    )


def _ratio_bounds(
    descending: Floats, above: int, m: int, levels: Levels
) -> tuple[float | None, float | None]:
    """Between which ratios the two tests leave doubt: the candidate's own at the counts where they answer."""
    n = len(descending)
    counts = np.arange(n + 1)
    harmful = np.flatnonzero(worse_p(counts, n, above, m, 0.0) <= levels.harm)
    shown = np.flatnonzero(as_bad_p(counts, n, above, m, 0.0) <= levels.level)
    low = float(descending[harmful[0] - 1]) if len(harmful) else None
    high = float(descending[shown[-1]]) if len(shown) and shown[-1] < n else None
    return low, high


def _scores(
    champion: Arm, candidate: Arm, sizes: tuple[int, int], margins: Margins, levels: Levels, classes: int
) -> tuple[Compared, ...]:
    """How far apart the distributions of top probabilities and of classes are."""
    of_champion, of_candidate = (
        arm.probability[:size][np.isfinite(arm.probability[:size])]
        for arm, size in zip((champion, candidate), sizes, strict=True)
    )
    found = []
    for (signal, figure), margin, (m, n) in (
        (PROBABILITY, margins.probability, (len(of_champion), len(of_candidate))),
        (CLASS_SHARES, margins.class_shares, sizes),
    ):
        lacking = _lacking("answers", m, n)
        worse = low = high = None
        if not lacking and figure == PROBABILITY[1]:
            worse = kolmogorov(of_champion, of_candidate)
            low, high = (worse + side * kolmogorov_reach(n, m, level) for side, level in _sides(levels))
        elif not lacking:
            worse = total_variation(champion.classes[:m], candidate.classes[:n], classes)
            low, high = (
                worse + side * total_variation_reach(n, m, classes, level) for side, level in _sides(levels)
            )
        found.append(
            Compared(
                signal=signal,
                figure=figure,
                unit="distance",
                champion=None,
                candidate=None,
                n_champion=m,
                n_candidate=n,
                worse=worse,
                low=None if low is None else max(low, 0.0),
                high=None if high is None else min(high, 1.0),
                margin=margin,
                harmful=low is not None and low > margin,
                shown=high is not None and high < margin,
                lacking=lacking,
            )
        )
    return tuple(found)


def _sides(levels: Levels) -> tuple[tuple[int, float], tuple[int, float]]:
    return (-1, levels.harm), (1, levels.level)


def _lacking(what: str, champion: int, candidate: int) -> str | None:
    if champion and candidate:
        return None
    return f"{what}: {candidate} of the candidate and {champion} of the champion"


def _summed(held: NDArray[np.bool_]) -> Counts:
    return np.concatenate([[0], np.cumsum(held)])
