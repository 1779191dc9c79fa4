"""Ten challengers in a row, each truly one point worse than the champion of its day, and where that stops.

A promoted challenger is the champion that the next one is measured against, so that a rule that looks at the
champion alone may lose a point each time. Each model is the one before with some rows changed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.claim import Claim, at_least
from benchmarks.gates.promotion import SETTINGS, SIZE, SMALL_DISCORDANCES
from steps.evaluation.comparison.paired import inferiority_p

SERIES = 1000
CHALLENGERS = 10
LOSS = 0.01
TOO_MUCH = 3
"""Points that may not be lost."""
ACCURACY = 0.92
"""Of the anchor."""

Right = NDArray[np.bool_]
"""``(series, n)``: which rows a model has right."""


def measure(count: int = SERIES) -> list[Claim]:
    """The share of series that are stopped in time, the worst of the discordances and of both test sets."""
    kept, bare = (
        [
            stopped_in_time(promoted(count, discordance, fresh=fresh, anchored=anchored))
            for discordance in SMALL_DISCORDANCES
            for fresh in (False, True)
        ]
        for anchored in (True, False)
    )
    return [
        at_least(
            f"series of {CHALLENGERS} challengers, each truly {100 * LOSS:g} point worse than the champion, "
            f"stopped before {TOO_MUCH} points are lost, n = {SIZE:,}, discordance up to "
            f"{100 * SMALL_DISCORDANCES[-1]:g} %, {count:,} series each, on one test set throughout and on a "
            "new one each time, the worst, beside a bare threshold on the difference to the champion",
            min(kept),
            0.95,
            "",
            peer=min(bare),
        )
    ]


def stopped_in_time(promotions: NDArray[np.int64]) -> float:
    """The share of series ``(series,)`` that promoted fewer models than there are points to lose."""
    return float(np.mean(promotions < TOO_MUCH))


def promoted(
    count: int, discordance: float, *, fresh: bool, anchored: bool, n: int = SIZE, seed: int = 0
) -> NDArray[np.int64]:
    """How many of the challengers each series promotes.

    Args:
        count: series.
        discordance: the share of rows that challenger or champion alone has right.
        fresh: whether each challenger meets a new test set, or all the same one.
        anchored: whether the overall rule decides, beside champion and anchor; else the bare threshold.
        n: rows of a test set.
        seed: of every draw.
    """
    generator = np.random.default_rng(seed)
    promotions = np.zeros(count, dtype=np.int64)
    anchor = generator.random((count, n)) < ACCURACY
    champion = anchor.copy()
    for _ in range(CHALLENGERS):
        if fresh:
            anchor = generator.random((count, n)) < ACCURACY
            champion = _after(anchor, promotions, discordance, generator)
        challenger = _worse(champion, promotions, discordance, generator)
        passed = passed_over(challenger, champion, tested=anchored)
        if anchored:
            passed &= passed_over(challenger, anchor, tested=True)
        champion = np.where(passed[:, None], challenger, champion)
        promotions += passed
    return promotions


def _after(
    anchor: Right, promotions: NDArray[np.int64], discordance: float, generator: np.random.Generator
) -> Right:
    """What the champion of each series makes of new rows."""
    champion = anchor
    for number in range(int(promotions.max())):
        next_one = _worse(champion, np.full(len(anchor), number), discordance, generator)
        champion = np.where((promotions > number)[:, None], next_one, champion)
    return champion


def _worse(
    right: Right, promotions: NDArray[np.int64], discordance: float, generator: np.random.Generator
) -> Right:
    """A model one point worse than one that so many promotions led to."""
    accuracy = (ACCURACY - LOSS * promotions)[:, None]
    lost, won = (discordance + LOSS) / 2, (discordance - LOSS) / 2
    changes = generator.random(right.shape, dtype=np.float32) < np.where(
        right, lost / accuracy, won / (1 - accuracy)
    )
    return right ^ changes


def passed_over(challenger: Right, other: Right, *, tested: bool) -> NDArray[np.bool_]:
    """Which series pass the challenger beside the other model, ``(series,)``.

    Args:
        challenger: which rows it has right.
        other: which rows the other model has right.
        tested: by the overall rule; else by the bare threshold.
    """
    n = challenger.shape[1]
    lost, won = (other & ~challenger).sum(axis=1), (challenger & ~other).sum(axis=1)
    if not tested:
        return np.asarray((won - lost) / n >= -SETTINGS.margin)
    return np.asarray(inferiority_p(n, lost, won, SETTINGS.margin) <= SETTINGS.alpha)
