"""The signals of drift: what a window of traffic looks like and what was answered, beside the reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from materializers.drift_reference import MEASURED, DriftReference
from materializers.drift_report import DriftSignal, Fixed, Kind
from steps.monitoring.drift.distances import (
    HALF,
    Distance,
    domain_classifier,
    kolmogorov_smirnov,
    kullback_leibler,
    mean_difference,
    population_stability,
)
from steps.monitoring.drift.joint_test import Block, Judged, judge_jointly
from steps.monitoring.drift.settings import DriftSettings, FixedThresholds

BINS = 10
"""Equal shares of the reference, whose index the fixed thresholds are made for."""
EMBEDDINGS = "embeddings"
SCORES, TOP_PROBABILITY, ABSTENTION = "scores", "top_probability", "abstention"
SHARES, SHARES_STABILITY = "class_shares", "class_shares_stability"
STATISTICS = (*MEASURED, "aspect")
ANSWERED = (SCORES, TOP_PROBABILITY, SHARES, SHARES_STABILITY, ABSTENTION)


@dataclass(frozen=True)
class _Side:
    """What is compared of one side."""

    statistics: pd.DataFrame
    """Of the pictures that were measured."""
    embeddings: NDArray[np.float32]
    scores: NDArray[np.float32]
    abstained: NDArray[np.bool_]


def drift_signals(
    reference: DriftReference,
    window: DriftReference,
    *,
    threshold: float | None,
    settings: DriftSettings,
    seed: int = 0,
) -> tuple[DriftSignal, ...]:
    """Compare a window with the reference by every signal, at one level for all of them together.

    Args:
        reference: answers of a model on pictures that it did not learn from.
        window: its answers on pictures that it was asked about.
        threshold: the model's, below which it abstains; None: it never does.
        settings: the level, and how many pictures are enough.
        seed: draws pictures, folds and permutations.

    Raises:
        ValueError: the two are of other classes.
    """
    if reference.classes != window.classes:
        raise ValueError(f"the reference has the classes {reference.classes}, the window {window.classes}")
    draw = np.random.default_rng(seed)
    was, now = (_side(side, threshold, settings.most_pictures, draw) for side in (reference, window))
    parts = (
        _Part("input", len(was.statistics), len(now.statistics), STATISTICS, _unknown(was, now)),
        _Part("input", len(was.embeddings), len(now.embeddings), (EMBEDDINGS,)),
        _Part("prediction", len(was.scores), len(now.scores), ANSWERED),
    )
    distances: tuple[Callable[[], dict[str, Distance]], ...] = (
        lambda: _of_statistics(was, now),
        lambda: {EMBEDDINGS: domain_classifier(np.concatenate([was.embeddings, now.embeddings]), seed)},
        lambda: _of_answers(was, now),
    )
    blocks = [
        Block(part.n_reference, part.n_window, prepare())
        for part, prepare in zip(parts, distances, strict=True)
        if part.lacking(settings.minimum_pictures) is None
    ]
    tested = judge_jointly(blocks, permutations=settings.permutations, level=settings.false_alarms, seed=seed)
    fixed = _fixed(was, now, settings.fixed)
    return tuple(signal for part in parts for signal in part.signals(tested, fixed, settings))


@dataclass(frozen=True)
class _Part:
    """Signals that compare the same rows."""

    kind: Kind
    n_reference: int
    n_window: int
    names: tuple[str, ...]

    unknown: Mapping[str, str] = field(default_factory=dict)
    """Names of which nothing can be said, and why: what is not known of some pictures looks like drift."""

    def lacking(self, minimum: int) -> str | None:
        """What there is too little of to say anything."""
        for who, n in (("the reference", self.n_reference), ("the window", self.n_window)):
            if n < minimum:
                return f"{who} has {n:,} such pictures, {minimum:,} at least are needed"
        return None

    def signals(
        self, tested: Mapping[str, Judged], fixed: Mapping[str, Fixed], settings: DriftSettings
    ) -> list[DriftSignal]:
        """Each signal, as it was tested; those that were not lack something."""
        lacking = self.lacking(settings.minimum_pictures)
        made = []
        for name in self.names:
            found, beside = tested.get(name), fixed.get(name)
            drifts = found is not None and found.unusual
            if settings.decided_by == "fixed" and found is not None:
                drifts = beside is not None and beside.exceeded
            made.append(
                DriftSignal(
                    name=name,
                    kind=self.kind,
                    n_reference=self.n_reference,
                    n_window=self.n_window,
                    outcome="insufficient data" if found is None else "drift" if drifts else "no drift",
                    value=found.value if found else None,
                    threshold=found.threshold if found else None,
                    p=found.p if found else None,
                    fixed=beside if found else None,
                    lacking=(lacking or self.unknown.get(name)) if found is None else None,
                )
            )
        return made


def _side(answers: DriftReference, threshold: float | None, most: int, draw: np.random.Generator) -> _Side:
    """At most so many of the pictures, drawn."""
    measured = answers.statistics
    measured = measured[measured["brightness"].notna()]
    measured = measured.iloc[_drawn(len(measured), most, draw)]
    scores = answers.scores[_drawn(len(answers), most, draw)]
    return _Side(
        statistics=measured,
        embeddings=answers.embeddings[_drawn(len(answers.embeddings), most, draw)],
        scores=scores,
        abstained=scores.max(axis=1, initial=0) < (threshold or 0.0),
    )


def _drawn(n: int, most: int, draw: np.random.Generator) -> NDArray[np.int64]:
    return np.arange(n) if n <= most else np.sort(draw.permutation(n)[:most])


def _unknown(was: _Side, now: _Side) -> dict[str, str]:
    """The statistics that are not known of every picture, such as the bytes of old ones, with the numbers."""
    found = {}
    for who, side in (("the reference", was), ("the window", now)):
        missing = side.statistics.isna().sum()
        for name in missing.index[missing > 0]:
            found[str(name)] = f"not known of {missing[name]:,} of {len(side.statistics):,} pictures of {who}"
    return found


def _of_statistics(was: _Side, now: _Side) -> dict[str, Distance]:
    pooled = pd.concat([was.statistics, now.statistics]).dropna(axis="columns")
    return {name: kolmogorov_smirnov(pooled[[name]].to_numpy(np.float64)) for name in pooled.columns}


def _of_answers(was: _Side, now: _Side) -> dict[str, Distance]:
    scores = np.concatenate([was.scores, now.scores]).astype(np.float64)
    labels, kinds = scores.argmax(axis=1), scores.shape[1]
    return {
        SCORES: kolmogorov_smirnov(scores),
        TOP_PROBABILITY: kolmogorov_smirnov(scores.max(axis=1, keepdims=True)),
        SHARES: kullback_leibler(labels, kinds),
        SHARES_STABILITY: population_stability(labels, kinds),
        ABSTENTION: mean_difference(np.concatenate([was.abstained, now.abstained]).astype(np.float64)),
    }


def _fixed(was: _Side, now: _Side, thresholds: FixedThresholds) -> dict[str, Fixed]:
    """What the usual thresholds say, of the signals that they are made for."""
    found = {}
    if len(was.statistics) and len(now.statistics):
        for name in STATISTICS:
            before, after = (side.statistics[name].dropna().to_numpy() for side in (was, now))
            if len(before) and len(after):
                found[name] = Fixed(
                    measure="population stability index",
                    value=stability_index(before, after),
                    threshold=thresholds.data_drift,
                )
    if len(was.scores) and len(now.scores):
        scores = np.concatenate([was.scores, now.scores])
        observed = np.arange(len(scores)) >= len(was.scores)
        found[SHARES] = Fixed(
            measure="Kullback-Leibler divergence",
            value=float(kullback_leibler(scores.argmax(axis=1), scores.shape[1])(observed[None])[0]),
            threshold=thresholds.prediction_drift,
        )
    return found


def stability_index(reference: NDArray[Any], window: NDArray[Any]) -> float:
    """The population stability index over tenths of the reference.

    Args:
        reference: ``(n,)``, finite.
        window: ``(m,)``, finite.
    """
    # Sorted once, the counts of ten intervals are found by ten searches, and not by one for every value.
    before, after = np.sort(reference), np.sort(window)
    ranks = np.linspace(0, len(before) - 1, BINS + 1)[1:-1]
    edges = np.unique(np.interp(ranks, np.arange(len(before)), before))
    shares = []
    for values in (before, after):
        below = np.searchsorted(values, edges, side="left")
        counts = np.diff(below, prepend=0, append=len(values)) + HALF
        shares.append(counts / counts.sum())
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
