"""Temperature and threshold are chosen on validation pictures and hold what they promise on others."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from serving.model_directory import MODEL_FILE, ModelMetadata, Preprocessing, read_metadata, write_metadata
from serving.predictor import probabilities
from steps.training.calibration.calibration import (
    HIGHEST,
    LOWEST,
    CalibrateSettings,
    calibrate,
    choose_threshold,
    fit_temperature,
    negative_log_likelihood,
    upper_bound,
    write_calibration,
)

K = 5


def answers(
    n: int, seed: int, too_sure: float = 1.0, spread: float = 2.0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits whose probabilities are true ones, times ``too_sure``, with labels drawn from them."""
    generator = np.random.default_rng([seed, n])
    logits = generator.normal(0, spread, (n, K))
    true = probabilities(logits.astype(np.float32), 1.0)
    labels = (true.cumsum(axis=1) < generator.uniform(size=(n, 1))).sum(axis=1)
    return (logits * too_sure).astype(np.float32), labels.astype(np.int64)


@pytest.mark.parametrize("too_sure", [0.2, 1.0, 3.0, 8.0])
def test_the_temperature_is_how_much_too_sure_the_network_is(too_sure: float) -> None:
    """Of 20,000 answers it finds the factor to 5 %, and likelihood and calibration are better for it."""
    logits, labels = answers(20_000, 0, too_sure)
    temperature, notes = fit_temperature(logits, labels)
    assert temperature == pytest.approx(too_sure, rel=0.05)
    assert notes == []
    found = calibrate(logits, labels, CalibrateSettings())
    assert found.temperature == temperature
    assert found.nll_after <= found.nll_before
    assert found.ece_after < 0.02
    if too_sure != 1:
        assert found.nll_after < found.nll_before
        assert found.ece_after < found.ece_before / 3


@pytest.mark.parametrize("seed", range(5))
def test_no_other_temperature_is_more_likely(seed: int) -> None:
    """Neither a little more nor a little less: the minimum of the likelihood's negative logarithm."""
    logits, labels = answers(200, seed, 2.5)
    temperature, _ = fit_temperature(logits, labels)
    least = negative_log_likelihood(logits, labels, temperature)
    for factor in (0.5, 0.95, 1.05, 2.0):
        assert least < negative_log_likelihood(logits, labels, temperature * factor)


@pytest.mark.parametrize("scale", [0.5, 1e4])
def test_a_network_that_is_always_right_is_not_endlessly_sure(scale: float) -> None:
    """90 right answers allow a mean probability of 91 of 92, however sure the network is; and it is said."""
    labels = np.arange(90) % K
    logits = (np.eye(K)[labels] * scale).astype(np.float32)
    temperature, notes = fit_temperature(logits, labels)
    assert LOWEST <= temperature <= HIGHEST
    if scale == 0.5:
        assert probabilities(logits, temperature).max(axis=1).mean() == pytest.approx(91 / 92, abs=1e-3)
    else:
        assert temperature == HIGHEST
        assert any("limit" in note for note in notes)
    assert any("All 90 validation pictures" in note for note in notes)


def test_logits_that_say_nothing_have_a_temperature_within_the_limits() -> None:
    """Even logits, and such as say the opposite, end in a finite number with a note."""
    labels = np.arange(100) % K
    even, _ = fit_temperature(np.zeros((100, K), np.float32), labels)
    assert LOWEST <= even <= HIGHEST
    opposite, notes = fit_temperature((-50 * np.eye(K)[labels]).astype(np.float32), labels)
    assert opposite == HIGHEST
    assert any("limit" in note for note in notes)


def test_few_pictures_and_absent_classes_are_said() -> None:
    """One class alone, eight pictures: there is a temperature, and nobody takes it for a good one."""
    logits = np.random.default_rng(0).normal(size=(8, K)).astype(np.float32)
    found = calibrate(logits, np.zeros(8, np.int64), CalibrateSettings())
    assert np.isfinite(found.temperature)
    assert any("8 validation pictures" in note for note in found.notes)
    assert any("4 of 5 classes have no validation picture" in note for note in found.notes)


def test_without_a_temperature_the_logits_stay() -> None:
    """Switched off, it is 1, and before and after are the same."""
    logits, labels = answers(500, 1, 3.0)
    found = calibrate(logits, labels, CalibrateSettings(temperature=False))
    assert found.temperature == 1
    assert (found.nll_after, found.ece_after) == (found.nll_before, found.ece_before)


def test_without_a_risk_every_picture_gets_an_answer() -> None:
    """The threshold is 0, and what share is wrong is recorded all the same."""
    logits, labels = answers(500, 2)
    found = calibrate(logits, labels, CalibrateSettings())
    assert (found.threshold, found.coverage, found.risk) == (0, 1, None)
    assert found.selective_risk == pytest.approx((logits.argmax(axis=1) != labels).mean())


@pytest.mark.parametrize("risk", [0.05, 0.1])
def test_the_risk_is_exceeded_as_seldom_as_promised(risk: float) -> None:
    """On 400 validation sets it is exceeded by the true risk in 5 % at most; and answers are given at all."""
    exceeded, coverages = 0, []
    others = answers(100_000, 99, spread=8.0)
    scores = probabilities(others[0], 1.0)
    sure, wrong = scores.max(axis=1), scores.argmax(axis=1) != others[1]
    for seed in range(400):
        logits, labels = answers(500, seed, spread=8.0)
        chosen = choose_threshold(probabilities(logits, 1.0), labels, risk, 0.95)
        if chosen.met:
            exceeded += bool(wrong[sure >= chosen.value].mean() > risk)
            coverages.append((sure >= chosen.value).mean())
    assert exceeded <= 0.05 * 400
    assert len(coverages) > 300
    assert np.mean(coverages) > 0.6


def test_it_is_the_lowest_threshold_that_was_tried_and_holds() -> None:
    """An answer less sure is an abstention; the next lower threshold tried would go beyond the risk."""
    logits, labels = answers(2000, 3, spread=4.0)
    scores = probabilities(logits, 1.0)
    chosen = choose_threshold(scores, labels, 0.05, 0.95)
    assert chosen.met
    assert 0 < chosen.given < 2000
    given = scores.max(axis=1) >= chosen.value
    assert (given.sum(), chosen.wrong) == (chosen.given, (scores.argmax(axis=1) != labels)[given].sum())
    more = np.argsort(-scores.max(axis=1))[: chosen.given + 100]
    mistakes = int((scores.argmax(axis=1) != labels)[more].sum())
    assert upper_bound(mistakes, len(more), 1 - 0.05 / 20) > 0.05


def test_a_risk_that_is_not_reached_keeps_the_most_cautious_threshold_and_says_so() -> None:
    """It is never silently 0: the surest twentieth is answered, and the note has numbers and a command."""
    logits, labels = answers(60, 4)
    found = calibrate(logits, labels, CalibrateSettings(risk=0.01))
    assert found.threshold > 0.9
    assert found.coverage == pytest.approx(0.05)
    assert found.risk_bound > 0.01
    (note,) = found.notes
    assert note.startswith("calibrate.risk 0.01 is not reached")
    assert "the surest 5%, 3 pictures with " in note
    assert "To show 0.01 takes 597 answers without a mistake" in note
    assert "--set calibrate.risk=" in note


def test_the_bound_is_the_one_of_the_tables() -> None:
    """The rule of three, and Clopper and Pearson's own example: 10 of 10 are wrong, 5 of 20."""
    assert upper_bound(0, 100, 0.95) == pytest.approx(1 - 0.05 ** (1 / 100))
    assert upper_bound(5, 20, 0.975) == pytest.approx(0.4910, abs=1e-4)
    assert upper_bound(10, 10, 0.95) == 1


def test_what_was_chosen_is_part_of_what_is_served(tmp_path: Path) -> None:
    """Temperature and threshold stand in metadata.json, and the digest is another one for each."""
    (tmp_path / MODEL_FILE).write_bytes(b"network")
    metadata = ModelMetadata(
        architecture="a", classes=("x", "y"), preprocessing=Preprocessing(height=8, width=8)
    )
    digests = set()
    logits, labels = answers(500, 5, 2.0, spread=4.0)
    for settings in (CalibrateSettings(), CalibrateSettings(risk=0.1)):
        write_metadata(tmp_path, metadata)
        found = calibrate(logits, labels, settings)
        digests.add(write_calibration(tmp_path, found))
        assert read_metadata(tmp_path) == metadata.model_copy(
            update={"temperature": found.temperature, "abstention_threshold": found.threshold}
        )
    assert len(digests) == 2


def test_nothing_to_choose_on_is_a_mistake() -> None:
    """Without a validation picture there is no number to write."""
    with pytest.raises(ValueError, match="no validation picture"):
        calibrate(np.zeros((0, K), np.float32), np.zeros(0, np.int64), CalibrateSettings())


@pytest.mark.parametrize(
    "wrong", [{"risk": 0}, {"risk": 1}, {"risk": 5}, {"confidence": 1}, {"confidence": 0.2}]
)
def test_a_risk_that_cannot_be_asked_for_is_refused(wrong: dict[str, float]) -> None:
    """No risk at all, every risk, and certainty are out of range."""
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        CalibrateSettings(**wrong)
