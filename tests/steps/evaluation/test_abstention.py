"""Coverage and risk are those of the answers that serving gives."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from materializers.classifier import Classifier
from serving.predictor import Prediction
from steps.evaluation.abstention import (
    AbstentionSettings,
    area_under_risk_coverage,
    assess_abstention,
    risk_coverage_curve,
)
from steps.evaluation.examined import Examined
from steps.evaluation.metrics import UNUSABLE, worst
from tests.steps.evaluation.answered import examined, with_threshold
from tests.steps.training.examples import trained

SETTINGS = AbstentionSettings(bootstrap_resamples=200)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Examined:
    """A tiny model that is not always right, and its answers on 60 new pictures."""
    return examined(trained(tmp_path_factory.mktemp("model"), epochs=3), 20)


def area(sure: list[float], wrong: list[bool]) -> float:
    found = area_under_risk_coverage(np.array(sure), np.array(wrong), resamples=100, seed=0)
    assert found.value is not None
    return found.value


def test_the_area_is_the_mean_risk_over_all_thresholds() -> None:
    """A mistake that is the least probable answer costs the least; the most probable one, the most."""
    assert area([0.9, 0.8, 0.7, 0.6], [False, False, False, True]) == pytest.approx(0.25 / 4)
    assert area([0.6, 0.7, 0.8, 0.9], [False, False, False, True]) == pytest.approx(
        (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4
    )
    assert area([0.9, 0.8], [False, False]) == 0


def test_equally_probable_answers_are_given_together() -> None:
    """Their order does not matter: a probability that says nothing has the risk of all answers."""
    assert area([0.9] * 4, [True, False, False, False]) == 0.25
    assert area([0.9] * 4, [False, False, False, True]) == 0.25


def test_the_area_has_an_interval_around_it() -> None:
    """Narrower with more answers."""
    generator = np.random.default_rng(0)
    widths = []
    for n in (100, 5000):
        sure = generator.uniform(0.3, 1, n)
        found = area_under_risk_coverage(sure, generator.random(n) > sure, resamples=200, seed=0)
        assert found.value is not None
        assert found.low is not None
        assert found.high is not None
        assert found.low < found.value < found.high
        assert found.n == n
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 4


def test_the_curve_goes_from_every_answer_to_few() -> None:
    """The first point is the risk of all; each has the coverage that its threshold comes to."""
    sure = np.linspace(0.505, 1, 100)
    wrong = np.arange(100) < 30
    curve = risk_coverage_curve(sure, wrong)
    assert len(curve) == 20
    assert (curve[0].coverage, curve[0].risk.value, curve[0].risk.n) == (1, 0.3, 100)
    assert (curve[-1].coverage, curve[-1].risk.value, curve[-1].risk.n) == (0.05, 0, 5)
    for point in curve:
        assert point.coverage == (sure >= point.threshold).mean()


def test_coverage_and_risk_are_those_of_what_serving_answers(base: Examined, tmp_path: Path) -> None:
    """Of a model that abstains from half: its own answers say from which, and which are wrong."""
    cautious = with_threshold(base, float(np.median(base.probabilities.max(axis=1))), tmp_path / "model")
    found, pictures = assess_abstention(cautious, SETTINGS)
    stored = cautious.dataset.pictures(list(cautious.image_ids))
    answers = [each for each in cautious.predictor.predict(stored) if isinstance(each, Prediction)]
    given = np.array([not each.abstained for each in answers])
    right = np.array([each.label for each in answers]) == cautious.rows["label"].to_numpy()
    assert 0 < given.sum() < 60
    assert found.threshold == cautious.predictor.metadata.abstention_threshold
    assert found.coverage is not None
    assert (found.coverage.value, found.coverage.n) == (given.mean(), 60)
    assert found.selective_risk is not None
    assert found.selective_risk.value == pytest.approx(1 - right[given].mean())
    assert found.selective_risk.n == given.sum()
    assert [each.metric for each in found.measured()] == ["coverage", "selective_risk"]
    assert list(pictures) == ["risk_coverage_test"]
    assert len(pictures["risk_coverage_test"]) < 60_000


def test_a_model_that_never_abstains_has_the_risk_of_all_its_answers(base: Examined) -> None:
    """Coverage 1, with the interval that 60 pictures allow."""
    found, _ = assess_abstention(base, SETTINGS)
    assert found.coverage is not None
    assert found.coverage.value == 1
    assert found.coverage.low == pytest.approx(60 / (60 + 1.96**2), abs=1e-4)
    assert found.selective_risk is not None
    assert found.selective_risk.value == pytest.approx((base.predicted != base.true).mean())


def test_a_model_that_always_abstains_has_no_risk(base: Examined, tmp_path: Path) -> None:
    """It is not 0, and the gate is told why; its coverage is 0."""
    silent = with_threshold(base, 1.0, tmp_path / "model")
    found, _ = assess_abstention(silent, SETTINGS)
    coverage, risk = found.measured()
    assert coverage.value is not None
    assert coverage.value.value == 0
    assert risk.value is not None
    assert risk.value.value is None
    assert risk.reason == "no test picture reaches the threshold 1.0"


def test_a_picture_that_serving_refuses_gets_no_answer(base: Examined) -> None:
    """It lowers the coverage, and is not wrong; where all are refused nothing is measured."""
    predicted, scores = base.predicted.copy(), base.probabilities.copy()
    predicted[0], scores[0] = UNUSABLE, worst(int(base.true[0]), 3)
    found, _ = assess_abstention(replace(base, predicted=predicted, probabilities=scores), SETTINGS)
    assert found.coverage is not None
    assert found.coverage.value == pytest.approx(59 / 60)
    assert found.selective_risk is not None
    assert found.selective_risk.value == pytest.approx((base.predicted != base.true)[1:].mean())
    found, pictures = assess_abstention(replace(base, predicted=np.full(60, UNUSABLE)), SETTINGS)
    assert (found.not_assessed, pictures) == ("no test picture has an answer", {})
    assert {each.reason for each in found.measured()} == {found.not_assessed}


def test_the_limit_that_the_threshold_was_chosen_for_is_named(base: Examined) -> None:
    """A model that was calibrated for a risk says which; one of the first format knows none."""
    record = base.classifier.record
    assert record.calibration is not None
    for calibration, limit in ((record.calibration.model_copy(update={"risk": 0.2}), 0.2), (None, None)):
        changed = record.model_copy(update={"calibration": calibration})
        classifier = Classifier(base.classifier.directory, changed)
        assert assess_abstention(replace(base, classifier=classifier), SETTINGS)[0].risk_limit == limit
