"""Measure on test pictures how many get an answer, and how many of these answers are wrong."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from materializers.evaluation.abstention import Abstention, CoveragePoint
from materializers.evaluation.metric import Metric
from materializers.picture_sheet import encode_chart
from materializers.report import Record
from steps.evaluation.intervals import Array, drawn_weights, wilson, with_interval
from steps.evaluation.metrics import UNUSABLE
from steps.training.calibration.calibration import COVERAGES

if TYPE_CHECKING:
    from steps.evaluation.examined import Examined

RISK_COVERAGE = "risk_coverage_test"


class AbstentionSettings(Record):
    """How abstention is measured."""

    bootstrap_resamples: int = Field(default=1000, ge=100, le=100_000)
    """Resamples behind the 95 % interval of the area under the curve."""
    seed: int = Field(default=0, ge=0, lt=2**32)


def area_under_risk_coverage(sure: Array, wrong: NDArray[np.bool_], *, resamples: int, seed: int) -> Metric:
    """The mean share of wrong answers over all thresholds (Geifman et al. 2019), with its interval.

    Answers that are equally probable are given together, so that their order does not matter.

    Args:
        sure: ``(n,)``, the probability of each answer, n > 0.
        wrong: ``(n,)``, whether it is.
        resamples: how many bootstrap resamples.
        seed: of the resamples.
    """
    order = np.argsort(-sure, kind="stable")
    first = np.flatnonzero(np.diff(-sure[order], prepend=-np.inf))  # of each run of equal probabilities
    mistakes = wrong[order]

    def area(weights: Array) -> Array:
        ordered = weights[:, order]
        given = np.add.reduceat(ordered, first, axis=1)
        failed = np.add.reduceat(ordered * mistakes, first, axis=1)
        with np.errstate(invalid="ignore"):  # the surest answers may not be drawn: 0 of 0
            risk = np.nan_to_num(failed.cumsum(axis=1) / given.cumsum(axis=1))
        return np.asarray((given * risk).sum(axis=1) / given.sum(axis=1))

    n = len(sure)
    drawn = [area(weights) for weights in drawn_weights(n, resamples=resamples, seed=seed)]
    return with_interval(float(area(np.ones((1, n)))[0]), np.concatenate(drawn), n)


def risk_coverage_curve(sure: Array, wrong: NDArray[np.bool_]) -> tuple[CoveragePoint, ...]:
    """What other thresholds would come to: those at which a round share of the answers is given.

    Args:
        sure: ``(n,)``, the probability of each answer, n > 0.
        wrong: ``(n,)``, whether it is.
    """
    falling = np.sort(sure)[::-1]
    thresholds = {float(falling[math.ceil(share * len(sure)) - 1]) for share in COVERAGES}
    points = []
    for threshold in sorted(thresholds):
        given = sure >= threshold
        risk = wilson(int(wrong[given].sum()), int(given.sum()))
        points.append(CoveragePoint(threshold=threshold, coverage=float(given.mean()), risk=risk))
    return tuple(points)


def risk_coverage_picture(
    scores: Array, labels: NDArray[np.int64], threshold: float, limit: float | None
) -> bytes:
    """The curve, and where the model's own threshold is on it.

    Args:
        scores: probabilities ``(n, k)``, n > 0.
        labels: ``(n,)``, the true class numbers.
        threshold: of the served model.
        limit: the risk that it was chosen for; None: for none.
    """
    from matplotlib.figure import Figure

    from steps.training.calibration.calibration_pictures import draw_risk_coverage

    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axes = figure.subplots()
    draw_risk_coverage(axes, scores, labels, "Risk by coverage, on test pictures")
    given = scores.max(axis=1) >= threshold
    wrong = (scores.argmax(axis=1) != labels)[given].mean() if given.any() else np.nan
    axes.plot([given.mean()], [wrong], "o", label=f"threshold {threshold:.4g}")
    if limit is not None:
        axes.axhline(limit, color="grey", linestyle=":", label=f"limit {limit:g}")
    axes.set(ylim=(0, None))
    axes.legend(fontsize="small", loc="upper left")
    return encode_chart(figure)


def assess_abstention(
    examined: Examined, settings: AbstentionSettings
) -> tuple[Abstention, dict[str, bytes]]:
    """Measure coverage and risk at the model's own threshold and at others.

    Args:
        examined: the model and its answers. A picture that serving refuses gets no answer.
        settings: how it is measured.

    Returns:
        The numbers, and the curve as a picture.
    """
    usable = examined.predicted != UNUSABLE
    n = len(examined.image_ids)
    threshold = examined.predictor.metadata.abstention_threshold
    calibration = examined.classifier.record.calibration
    limit = calibration.risk if calibration is not None else None
    if not usable.any():
        return Abstention(not_assessed="no test picture has an answer", threshold=threshold), {}
    scores, labels = examined.probabilities[usable], examined.true[usable]
    sure, wrong = scores.max(axis=1), examined.predicted[usable] != labels
    given = sure >= threshold
    found = Abstention(
        threshold=threshold,
        risk_limit=limit,
        coverage=wilson(int(given.sum()), n),
        selective_risk=wilson(int(wrong[given].sum()), int(given.sum())),
        area_under_risk_coverage=area_under_risk_coverage(
            sure, wrong, resamples=settings.bootstrap_resamples, seed=settings.seed
        ),
        curve=risk_coverage_curve(sure, wrong),
    )
    return found, {RISK_COVERAGE: risk_coverage_picture(scores, labels, threshold, limit)}
