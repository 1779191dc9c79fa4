"""Check a delivery against what the champion was trained on: class mix, picture statistics, embeddings.

Each statistic has a limit of its own and a noise floor: what the same statistic reaches when the pictures of
both sides are shuffled (a permutation test at the actual sizes). Only what exceeds both is drift: of few
pictures every statistic is large, of many every difference is significant. Too few are ``not_assessed``.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from materializers.data_report import Check
from materializers.report import Record
from steps.data.checks.judging import judged, not_assessed
from steps.data.checks.limits import CheckLimit

Number = TypeVar("Number", np.float32, np.float64)

Embeddings = NDArray[np.float32]
"""``(n, d)`` float32."""

EMBEDDING_DRIFT = "embedding_drift"
DRIFT_CHECKS = ("class_mix_drift", "picture_statistics_drift", EMBEDDING_DRIFT)
STATISTICS = ("brightness", "contrast", "sharpness", "saturation", "width", "height")
FOLDS = 5
RIDGE = 1.0
"""Penalty of the domain classifier, in units of the mean squared length of an embedding."""


class DriftSettings(Record):
    """When a delivery counts as drifted."""

    min_pictures: int = Field(default=50, ge=2 * FOLDS)
    """On each side, or nothing is said."""
    sample: int = Field(default=5000, ge=100)
    """Pictures of each side whose statistics are compared, at most."""
    embeddings_sample: int = Field(default=1000, ge=100)
    """Pictures of each side whose embeddings are, at most: the time grows with the cube."""
    permutations: int = Field(default=199, ge=99)
    false_alarm: float = Field(default=0.01, gt=0, le=0.05)
    """Of each of the three checks, on data without drift; of all together at most three times that."""
    seed: int = 0
    class_mix_drift: CheckLimit = CheckLimit(limit=0.15, severity="warn")
    """Total variation distance: the share of pictures that would need another label."""
    picture_statistics_drift: CheckLimit = CheckLimit(limit=0.15, severity="warn")
    """Kolmogorov-Smirnov distance of the statistic that differs most."""
    embedding_drift: CheckLimit = CheckLimit(limit=0.65, severity="warn")
    """How well a linear classifier tells the two sides apart (area under the ROC curve; 0.5: not at all)."""


def delivery_drift(
    delivery: pd.DataFrame,
    reference: pd.DataFrame,
    settings: DriftSettings,
    *,
    embeddings: tuple[Embeddings, Embeddings] | None = None,
    why_not: str = "There are no embeddings of a champion to compare.",
) -> list[Check]:
    """Compare a delivery with the champion's training data.

    Args:
        delivery: one row a picture; columns ``label`` and those of ``STATISTICS``, missing where a picture
            was not measured.
        reference: the champion's training data, likewise.
        settings: limits, sizes and severities.
        embeddings: the champion's, of the delivery's pictures and of the reference's; None without a model.
        why_not: the reason where there are none.

    Returns:
        One check for each name of ``DRIFT_CHECKS``.
    """
    return [
        _class_mix(delivery["label"], reference["label"], settings),
        _picture_statistics(delivery, reference, settings),
        _embeddings(embeddings, settings)
        if embeddings is not None
        else not_assessed(EMBEDDING_DRIFT, settings.embedding_drift, why_not),
    ]


def nothing_to_compare(
    reason: str, settings: DriftSettings, *, checks: Sequence[str] = DRIFT_CHECKS
) -> list[Check]:
    """The checks where there are no two sides: not assessed, and never a reason to refuse."""
    bounds: dict[str, CheckLimit] = {name: getattr(settings, name) for name in checks}
    return [
        not_assessed(name, bound.model_copy(update={"severity": "warn"}), reason)
        for name, bound in bounds.items()
    ]


def _class_mix(delivery: pd.Series, reference: pd.Series, settings: DriftSettings) -> Check:
    """The total variation distance of the labels' shares."""
    name, bound = "class_mix_drift", settings.class_mix_drift
    few = _too_few(len(delivery), len(reference), settings)
    if few:
        return not_assessed(name, bound, few)
    counts = pd.DataFrame({"delivery": delivery.value_counts(), "reference": reference.value_counts()})
    counts = counts.fillna(0).astype(int).sort_index()
    both = counts.sum(axis=1).to_numpy()
    rng = np.random.default_rng(settings.seed)
    shuffled = rng.multivariate_hypergeometric(
        both, len(delivery), size=settings.permutations, method="marginals"
    )
    ours, theirs = counts["delivery"].to_numpy(), counts["reference"].to_numpy()
    measured = float(total_variation(ours, theirs))
    floor = _floor(total_variation(shuffled, both - shuffled), settings)
    gaps = counts["delivery"] / len(delivery) - counts["reference"] / len(reference)
    most = gaps.abs().idxmax()
    detail = (
        f"the class mix differs by {measured:.3f} (total variation), most in {most}: "
        f"{ours[counts.index.get_loc(most)] / len(delivery):.1%} of the delivery, "
        f"{theirs[counts.index.get_loc(most)] / len(reference):.1%} of the training data"
    )
    return _verdict(name, measured, floor, bound, detail)


def total_variation(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Half the summed difference of shares, over the last axis; 0 to 1."""
    shares = ours / ours.sum(axis=-1, keepdims=True) - theirs / theirs.sum(axis=-1, keepdims=True)
    distance: NDArray[np.float64] = np.abs(shares).sum(axis=-1) / 2
    return distance


def _picture_statistics(delivery: pd.DataFrame, reference: pd.DataFrame, settings: DriftSettings) -> Check:
    """The largest Kolmogorov-Smirnov distance of the statistics: one threshold holds for all of them."""
    name, bound = "picture_statistics_drift", settings.picture_statistics_drift
    columns = list(STATISTICS)
    ours = _sampled(delivery[columns].dropna().to_numpy(dtype=np.float64), settings.sample, settings.seed)
    theirs = _sampled(reference[columns].dropna().to_numpy(dtype=np.float64), settings.sample, settings.seed)
    few = _too_few(len(ours), len(theirs), settings)
    if few:
        return not_assessed(name, bound, few)
    sides = _sides(len(ours), len(theirs), settings)
    pooled = np.concatenate([ours, theirs])
    distances = np.stack([ks_distances(pooled[:, column], sides) for column in range(len(columns))])
    most = int(distances[:, 0].argmax())
    detail = (
        f"{columns[most]} differs most, by {distances[most, 0]:.3f} (Kolmogorov-Smirnov): a median of "
        f"{np.median(ours[:, most]):.4g} in the delivery, of {np.median(theirs[:, most]):.4g} before"
    )
    measured = float(distances[most, 0])
    return _verdict(name, measured, _floor(distances[:, 1:].max(axis=0), settings), bound, detail)


def ks_distances(values: NDArray[np.float64], sides: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The Kolmogorov-Smirnov distance of the values on either side, for each assignment to the sides.

    Args:
        values: ``(n,)``.
        sides: ``(k, n)``: which of them are on the one side.

    Returns:
        ``(k,)``, 0 to 1.
    """
    order = np.argsort(values, kind="stable")
    last = np.append(np.diff(values[order]) > 0, True)  # of equal values only the last is a step
    sorted_sides = sides[:, order]
    ours = np.cumsum(sorted_sides, axis=1, dtype=np.int32)[:, last]
    theirs = np.flatnonzero(last) + 1 - ours
    distance: NDArray[np.float64] = np.abs(ours / ours[:, -1:] - theirs / theirs[:, -1:]).max(axis=1)
    return distance


def _embeddings(embeddings: tuple[Embeddings, Embeddings], settings: DriftSettings) -> Check:
    """How well a linear classifier that never saw a picture tells which side it is from."""
    name, bound = EMBEDDING_DRIFT, settings.embedding_drift
    ours, theirs = (_sampled(side, settings.embeddings_sample, settings.seed) for side in embeddings)
    few = _too_few(len(ours), len(theirs), settings)
    if few:
        return not_assessed(name, bound, few)
    sides = _sides(len(ours), len(theirs), settings)
    areas = domain_areas(np.concatenate([ours, theirs]), sides, settings.seed)
    detail = f"a linear classifier tells the embeddings of the two apart with an area of {areas[0]:.3f}"
    return _verdict(name, float(areas[0]), _floor(areas[1:], settings), bound, detail)


def domain_areas(embeddings: Embeddings, sides: NDArray[np.bool_], seed: int) -> NDArray[np.float64]:
    """The cross-fitted area under the ROC curve of a ridge classifier, for each assignment to the sides.

    Ridge regression is linear in its target, the side, so that one solution a fold serves all assignments.

    Args:
        embeddings: ``(n, d)``.
        sides: ``(k, n)``.
        seed: of the folds.

    Returns:
        ``(k,)``: the mean area over the folds in which both sides are.
    """
    centred = embeddings.astype(np.float64) - embeddings.mean(axis=0, dtype=np.float64)
    kernel = centred @ centred.T
    kernel /= max(float(np.trace(kernel)) / len(kernel), 1e-12)
    targets = sides.T.astype(np.float64)
    folds = np.random.default_rng([seed, 1]).permutation(len(kernel)) % FOLDS  # not the draw of the sides
    areas = []
    for fold in range(FOLDS):
        held, used = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        inside = kernel[np.ix_(used, used)] + RIDGE * np.eye(len(used))
        scores = kernel[np.ix_(held, used)] @ np.linalg.solve(
            inside, targets[used] - targets[used].mean(axis=0)
        )
        areas.append(_areas(scores, targets[held]))
    mean: NDArray[np.float64] = np.nanmean(areas, axis=0)
    return mean


def _areas(scores: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area under the ROC curve of each column, NaN where it has one side only (Mann and Whitney)."""
    ours = targets.sum(axis=0)
    theirs = len(targets) - ours
    ranks = (pd.DataFrame(scores).rank().to_numpy() * targets).sum(axis=0)
    area: NDArray[np.float64] = (ranks - ours * (ours + 1) / 2) / np.where(
        ours * theirs, ours * theirs, np.nan
    )
    return area


def _sampled(values: NDArray[Number], sample: int, seed: int) -> NDArray[Number]:
    if len(values) <= sample:
        return values
    return values[np.sort(np.random.default_rng(seed).choice(len(values), sample, replace=False))]


def _sides(ours: int, theirs: int, settings: DriftSettings) -> NDArray[np.bool_]:
    """Row 0 says which of the pooled pictures are the delivery's; the others are shuffled."""
    sides = np.tile(np.arange(ours + theirs) < ours, (settings.permutations + 1, 1))
    rng = np.random.default_rng(settings.seed)
    sides[1:] = rng.permuted(sides[1:], axis=1)
    return sides


MOST = 1.0
"""No distance and no area exceeds it: with too few permutations nothing is called drift."""


def _floor(shuffled: NDArray[np.float64], settings: DriftSettings) -> float:
    """The value that a statistic without drift exceeds with a probability of ``false_alarm`` at most.

    The exact permutation test: of ``permutations + 1`` exchangeable values, the measured one is among the k
    largest with a probability of k / (permutations + 1).
    """
    largest = math.floor(settings.false_alarm * (settings.permutations + 1))
    return MOST if largest < 1 else float(np.sort(shuffled)[-largest])


def _too_few(ours: int, theirs: int, settings: DriftSettings) -> str:
    """Why nothing can be said, or an empty text."""
    if min(ours, theirs) >= settings.min_pictures:
        return ""
    return (
        f"{ours:,} pictures of the delivery and {theirs:,} of the training data can be compared; "
        f"{settings.min_pictures:,} of each are needed."
    )


def _verdict(name: str, measured: float, floor: float, bound: CheckLimit, detail: str) -> Check:
    """Drift is what exceeds the limit and the noise floor; the larger one is the check's limit."""
    effective = CheckLimit(limit=max(bound.limit, floor), severity=bound.severity)
    said = detail[0].upper() + detail[1:]
    reason = (
        f"{said}; drift begins above {effective.limit:.3f} (configured {bound.limit:g}, chance {floor:.3f})."
    )
    mend = f"Look at the delivery; if the world changed, raise validate.drift.{name}.limit."
    return judged(name, measured, effective, "at most", reason, mend)
