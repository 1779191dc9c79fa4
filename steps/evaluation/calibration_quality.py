"""Measure on test pictures whether the probabilities that are served are true ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from materializers.evaluation.calibration_quality import CalibrationQuality, ReliabilityBin
from materializers.evaluation.metric import Metric
from materializers.picture_sheet import encode_chart
from materializers.report import Record
from steps.evaluation.intervals import Array, drawn_weights, wilson, with_interval
from steps.evaluation.metrics import UNUSABLE
from steps.training.calibration.reliability import BINS, bin_of, expected_calibration_error, reliability

if TYPE_CHECKING:
    from steps.evaluation.examined import Examined

RELIABILITY = "reliability_test"


class CalibrationQualitySettings(Record):
    """How the calibration is measured."""

    bootstrap_resamples: int = Field(default=1000, ge=100, le=100_000)
    """Resamples behind each 95 % interval."""
    seed: int = Field(default=0, ge=0, lt=2**32)


def calibration_error(
    scores: Array, labels: NDArray[np.int64], *, resamples: int, seed: int
) -> tuple[Metric, Metric]:
    """The expected calibration error and the Brier score, with intervals.

    A resample is worse calibrated than the pictures that it is drawn from, since its noise adds to theirs:
    the interval errs on the high side, and begins at the estimate at the latest.

    Args:
        scores: probabilities ``(n, k)``, n > 0.
        labels: ``(n,)``, the true class numbers.
        resamples: how many bootstrap resamples.
        seed: of the resamples.

    Returns:
        The error (Guo et al. 2017), 0 to 1, and the score (Brier 1950), 0 to 2.
    """
    n = len(labels)
    gaps, squares = _gaps(scores, labels), _squares(scores, labels)
    errors, briers = [], []
    for weights in drawn_weights(n, resamples=resamples, seed=seed):
        errors.append(np.abs(weights @ gaps).sum(axis=1) / n)
        briers.append(weights @ squares / n)
    error = with_interval(expected_calibration_error(scores, labels), np.concatenate(errors), n)
    if error.value is not None and error.low is not None:
        error = error.model_copy(update={"low": min(error.low, error.value)})
    return error, with_interval(float(squares.mean()), np.concatenate(briers), n)


def error_if_calibrated(scores: Array, *, resamples: int, seed: int) -> float:
    """The mean expected calibration error of these answers if each were right with its probability.

    Args:
        scores: probabilities ``(n, k)``, n > 0.
        resamples: how often it is drawn which are right (Bröcker and Smith 2007).
        seed: of the draws.
    """
    sure = scores.max(axis=1)
    in_bin = np.eye(BINS)[bin_of(sure)]
    generator = np.random.default_rng(seed)
    drawn = (np.abs(((generator.random(len(sure)) < sure) - sure) @ in_bin).sum() for _ in range(resamples))
    return float(sum(drawn) / resamples / len(sure))


def reliability_curve(scores: Array, labels: NDArray[np.int64]) -> tuple[ReliabilityBin, ...]:
    """The bins that have answers.

    Args:
        scores: probabilities ``(n, k)``.
        labels: ``(n,)``, the true class numbers.
    """
    counts, sums, hits = reliability(scores, labels)
    return tuple(
        ReliabilityBin(
            low=number / BINS,
            high=(number + 1) / BINS,
            count=int(counts[number]),
            confidence=float(sums[number] / counts[number]),
            accuracy=wilson(int(hits[number]), int(counts[number])),
        )
        for number in np.flatnonzero(counts).tolist()
    )


def reliability_picture(scores: Array, labels: NDArray[np.int64], error: float) -> bytes:
    """The reliability curve: on the diagonal, probabilities are true.

    Args:
        scores: probabilities ``(n, k)``, n > 0.
        labels: ``(n,)``, the true class numbers.
        error: the expected calibration error.
    """
    from matplotlib.figure import Figure

    from steps.training.calibration.calibration_pictures import draw_reliability

    figure = Figure(figsize=(4.8, 3.6), layout="constrained")
    axes = figure.subplots()
    draw_reliability(axes, scores, labels, f"Test pictures: calibration error {error:.3f}")
    return encode_chart(figure)


def assess_calibration_quality(
    examined: Examined, settings: CalibrationQualitySettings
) -> tuple[CalibrationQuality, dict[str, bytes]]:
    """Measure the calibration of the answers on test pictures.

    Args:
        examined: the model and its answers; pictures that serving refuses have no probability.
        settings: how it is measured.

    Returns:
        The numbers, and the reliability curve as a picture.
    """
    usable = examined.predicted != UNUSABLE
    if not usable.any():
        return CalibrationQuality(not_assessed="no test picture has an answer"), {}
    scores, labels = examined.probabilities[usable], examined.true[usable]
    chances = {"resamples": settings.bootstrap_resamples, "seed": settings.seed}
    error, brier = calibration_error(scores, labels, **chances)
    quality = CalibrationQuality(
        temperature=examined.predictor.metadata.temperature,
        expected_calibration_error=error,
        error_if_calibrated=error_if_calibrated(scores, **chances),
        brier_score=brier,
        bins=reliability_curve(scores, labels),
    )
    return quality, {RELIABILITY: reliability_picture(scores, labels, error.value or 0.0)}


def _gaps(scores: Array, labels: NDArray[np.int64]) -> Array:
    """By how much each answer is more right than its probability ``(n, BINS)``, in the column of its bin."""
    sure = scores.max(axis=1)
    right = scores.argmax(axis=1) == labels
    return np.asarray(np.eye(BINS)[bin_of(sure)] * (right - sure)[:, None])


def _squares(scores: Array, labels: NDArray[np.int64]) -> Array:
    """The squared distance of each answer from the truth ``(n,)``."""
    true = scores[np.arange(len(labels)), labels]
    return np.asarray((scores**2).sum(axis=1) - 2 * true + 1)
