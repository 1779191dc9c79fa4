"""One test of many distances: how large the most unusual of them gets by chance.

The pooled rows of reference and window are parted anew, at random, in two parts of the same sizes, and every
distance is computed again. What is tested is the largest of all distances, each in units of its own
variation, so that all of them together raise a false alarm as often as one is allowed to (Westfall and Young,
"Resampling-based multiple testing", 1993). The observed parting is one of those that are compared, which
makes the level exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from steps.monitoring.drift.distances import Distance, Floats

AT_A_TIME = 50
"""Partings: memory grows with their number times the rows."""


@dataclass(frozen=True)
class Block:
    """Distances between the same rows.

    Blocks whose rows differ are parted independently of one another: where they go together in truth, the
    threshold is a little higher than it need be.

    Args:
        n_reference: the first rows.
        n_window: the rows after them.
        distances: by the names of the signals.
    """

    n_reference: int
    n_window: int
    distances: Mapping[str, Distance]


@dataclass(frozen=True)
class Judged:
    """One distance as it was observed, beside what chance makes of it.

    Args:
        value: of the observed parting.
        threshold: what it must exceed to be unusual among all that are tested.
        p: share of partings whose most unusual distance was as unusual as this one.
    """

    value: float
    threshold: float
    p: float

    @property
    def unusual(self) -> bool:
        """Whether chance does not explain it."""
        return self.value > self.threshold


def judge_jointly(
    blocks: Sequence[Block], *, permutations: int, level: float, seed: int
) -> dict[str, Judged]:
    """Test all distances of all blocks at one level.

    Args:
        blocks: each with at least a row on either side; the names of all distances differ.
        permutations: random partings.
        level: how often at most any distance is found unusual where nothing differs.
        seed: draws the partings.

    Returns:
        What each distance came to, by its name.
    """
    names = [name for block in blocks for name in block.distances]
    if not names:
        return {}
    draws = np.random.default_rng(seed).spawn(len(blocks))
    values = np.column_stack(
        [
            column
            for block, drawn in zip(blocks, draws, strict=True)
            for column in _distances(block, permutations, drawn)
        ]
    )
    middle, spread = values.mean(axis=0), values.std(axis=0)
    varies = spread > 0
    unusual = np.where(varies, (values - middle) / np.where(varies, spread, 1), 0)
    largest = unusual.max(axis=1)
    # Of the ordered maxima the one that no more than `level` of all, the observed one counted, exceed.
    limit = float(np.sort(largest)[math.ceil((1 - level) * len(largest)) - 1])
    return {
        name: Judged(
            value=float(values[0, column]),
            threshold=float(middle[column] + limit * spread[column]),
            p=float((largest >= unusual[0, column]).mean()),
        )
        for column, name in enumerate(names)
    }


def _distances(block: Block, permutations: int, drawn: np.random.Generator) -> list[Floats]:
    """Each distance of a block, ``(1 + permutations,)``, the observed one first."""
    observed = np.arange(block.n_reference + block.n_window) >= block.n_reference
    parts: list[list[Floats]] = [[] for _ in block.distances]
    for start in range(0, 1 + permutations, AT_A_TIME):
        inside = np.tile(observed, (min(AT_A_TIME, 1 + permutations - start), 1))
        inside[1 if start == 0 else 0 :] = drawn.permuted(inside[1 if start == 0 else 0 :], axis=1)
        for part, distance in zip(parts, block.distances.values(), strict=True):
            part.append(distance(inside))
    return [np.concatenate(part) for part in parts]
