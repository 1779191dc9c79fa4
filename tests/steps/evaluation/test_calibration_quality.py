"""The calibration error of served probabilities tells true ones from others."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from serving.predictor import probabilities
from steps.evaluation.calibration_quality import (
    CalibrationQualitySettings,
    assess_calibration_quality,
    calibration_error,
    error_if_calibrated,
    reliability_curve,
)
from steps.evaluation.examined import Examined
from steps.evaluation.metrics import UNUSABLE, worst
from steps.training.calibration.reliability import expected_calibration_error
from tests.steps.evaluation.answered import examined
from tests.steps.training.examples import trained

K = 4
SETTINGS = CalibrationQualitySettings(bootstrap_resamples=200)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Examined:
    """A tiny model and its answers on 60 new pictures."""
    return examined(trained(tmp_path_factory.mktemp("model"), epochs=3), 20)


def answered(n: int, seed: int, too_sure: float = 1.0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities, and labels that are drawn from them before they are made ``too_sure``."""
    generator = np.random.default_rng([seed, n])
    logits = generator.normal(0, 1.5, (n, K)).astype(np.float32)
    true = probabilities(logits, 1.0)
    labels = (true.cumsum(axis=1) < generator.uniform(size=(n, 1))).sum(axis=1)
    return probabilities(logits * too_sure, 1.0), labels.astype(np.int64)


def test_true_probabilities_have_no_more_error_than_chance_gives_them() -> None:
    """Of 5,000 answers the error is that of a calibrated model; of one too sure it is far above."""
    scores, labels = answered(5000, 0)
    error, _ = calibration_error(scores, labels, resamples=200, seed=0)
    assert error.value == pytest.approx(error_if_calibrated(scores, resamples=200, seed=0), abs=0.006)
    scores, labels = answered(5000, 0, too_sure=4)
    error, _ = calibration_error(scores, labels, resamples=200, seed=0)
    assert error.low is not None
    assert error.low > 5 * error_if_calibrated(scores, resamples=200, seed=0)


def test_the_error_is_the_one_that_calibration_minimised() -> None:
    """By the same code, of the same answers; with its n."""
    scores, labels = answered(300, 1, too_sure=2)
    error, _ = calibration_error(scores, labels, resamples=200, seed=0)
    assert error.value == pytest.approx(expected_calibration_error(scores, labels))
    assert error.n == 300


@pytest.mark.parametrize("seed", range(5))
def test_the_interval_holds_the_estimate(seed: int) -> None:
    """Also where every resample has a larger error, as it has of few answers that are calibrated."""
    error, brier = calibration_error(*answered(60, seed), resamples=200, seed=0)
    for metric in (error, brier):
        assert metric.value is not None
        assert metric.low is not None
        assert metric.high is not None
        assert 0 <= metric.low <= metric.value <= metric.high


def test_the_interval_of_a_large_error_holds_the_true_one() -> None:
    """Of 100 test sets of 450 answers, at least 90 intervals hold what 200,000 answers say."""
    large = expected_calibration_error(*answered(200_000, 99, too_sure=3))
    held = 0
    for seed in range(100):
        error, _ = calibration_error(*answered(450, seed, too_sure=3), resamples=200, seed=0)
        assert error.low is not None
        assert error.high is not None
        held += error.low <= large <= error.high
    assert held >= 90


def test_the_brier_score_is_the_distance_from_the_truth() -> None:
    """0 for a sure right answer, 2 for a sure wrong one, two thirds for three that are equal."""
    scores = np.array([[1.0, 0, 0], [0, 1.0, 0], [1 / 3, 1 / 3, 1 / 3]])
    labels = np.array([0, 0, 2])
    _, brier = calibration_error(scores, labels, resamples=100, seed=0)
    assert brier.value == pytest.approx((0 + 2 + 2 / 3) / 3)


def test_the_curve_has_each_bin_that_holds_answers() -> None:
    """Its count, its mean probability, and the share that is right."""
    scores = np.array([[0.9, 0.1]] * 10 + [[0.55, 0.45]] * 4)
    labels = np.array([0] * 7 + [1] * 3 + [0, 0, 1, 1])
    low, high = reliability_curve(scores, labels)
    assert (low.count, low.accuracy.value) == (4, 0.5)
    assert low.confidence == pytest.approx(0.55)
    assert low.low <= 0.55 < low.high
    assert (high.count, high.accuracy.value, high.accuracy.n) == (10, 0.7, 10)


def test_what_is_measured_is_what_is_served(base: Examined) -> None:
    """Temperature and answers are the predictor's, and the picture is a small chart."""
    found, pictures = assess_calibration_quality(base, SETTINGS)
    error = found.expected_calibration_error
    assert error is not None
    assert error.value == pytest.approx(expected_calibration_error(base.probabilities, base.true))
    assert found.temperature == base.predictor.metadata.temperature != 1
    assert sum(each.count for each in found.bins) == 60
    assert list(pictures) == ["reliability_test"]
    png = pictures["reliability_test"]
    assert len(png) < 60_000
    with Image.open(io.BytesIO(png)) as image:
        assert image.info["Software"].startswith("Matplotlib")


def test_a_picture_without_an_answer_has_no_probability(base: Examined) -> None:
    """It is left out of the calibration; where no picture has one, nothing is measured."""
    predicted, scores = base.predicted.copy(), base.probabilities.copy()
    predicted[0], scores[0] = UNUSABLE, worst(int(base.true[0]), 3)
    found, _ = assess_calibration_quality(replace(base, predicted=predicted, probabilities=scores), SETTINGS)
    assert found.expected_calibration_error is not None
    assert found.expected_calibration_error.n == 59
    none = replace(base, predicted=np.full(60, UNUSABLE))
    found, pictures = assess_calibration_quality(none, SETTINGS)
    assert (found.not_assessed, pictures) == ("no test picture has an answer", {})
    assert [each.reason for each in found.measured()] == [found.not_assessed]


def test_the_same_answers_measure_the_same_twice(base: Examined, tmp_path: Path) -> None:
    """Numbers and picture."""
    assert assess_calibration_quality(base, SETTINGS) == assess_calibration_quality(base, SETTINGS)
