"""What the served directory answers on validation and test pictures, and what is made of it."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from materializers.classifier import Classifier
from materializers.image_dataset import ImageDataset
from serving.model_directory import model_digest, read_metadata
from serving.predictor import Prediction, Predictor, probabilities
from serving.preprocess import decode
from steps.training import reference
from steps.training.calibration.calibration import CalibrateSettings, negative_log_likelihood
from steps.training.reference import Answers, finish, scored, unseen_answers, unseen_rows
from tests.steps.training.examples import CLASSES, dataset, splits, trained


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """A classifier that was trained for a moment."""
    return trained(tmp_path_factory.mktemp("model"), epochs=2)


@pytest.fixture(scope="module")
def pictures() -> ImageDataset:
    """All pictures."""
    return dataset()


def test_rows_are_validation_and_test_and_never_training(pictures: ImageDataset) -> None:
    """Exactly those that the splits name, sorted, with label and measures; unknown ones are NaN."""
    groups = splits(pictures)
    rows = unseen_rows(pictures, groups, 0)
    expected = sorted(groups.image_ids("validation") + groups.image_ids("test"))
    assert rows["image_id"].tolist() == expected
    assert not set(expected) & set(groups.image_ids("train"))
    assert rows["label"].tolist() == pictures.labels(expected)
    assert (rows["width"] == 16).all()
    assert rows["brightness"].isna().all()  # nobody examined these
    by_id = dict(zip(rows["image_id"], rows["split"], strict=True))
    assert all(by_id[image_id] == "test" for image_id in groups.image_ids("test"))


def test_pictures_that_the_dataset_lacks_are_left_out(pictures: ImageDataset) -> None:
    """One that was erased or is away has no answer."""
    groups = splits(pictures)
    gone = groups.image_ids("test")[0]
    assert gone not in set(unseen_rows(pictures.without([gone]), groups, 0)["image_id"])


def test_the_sample_of_embeddings_is_drawn_by_the_seed(
    pictures: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never more than there may be, the same for the same seed, another for another."""
    monkeypatch.setattr(reference, "EMBEDDED", 10)
    drawn = [unseen_rows(pictures, splits(pictures), seed)["embedded"] for seed in (1, 1, 2)]
    assert [each.sum() for each in drawn] == [10, 10, 10]
    assert drawn[0].equals(drawn[1])
    assert not drawn[0].equals(drawn[2])


def test_scores_are_those_of_serving_over_the_bounds_of_batches(
    classifier: Classifier, pictures: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Picture by picture what the predictor answers, in order; only the wanted embeddings are kept."""
    monkeypatch.setattr(reference, "BATCH", 7)
    predictor = Predictor.load(classifier.serving_directory)
    ids = pictures.index["image_id"].tolist()[:24]
    wanted = np.arange(24) % 3 == 0
    logits, embeddings = scored(predictor, pictures, ids, embedded=wanted, threads=2)
    images = np.stack([decode(data, predictor.metadata.preprocessing) for data in pictures.pictures(ids)])
    expected = predictor.scores(images)
    np.testing.assert_allclose(logits, expected[0], atol=1e-5)
    np.testing.assert_allclose(embeddings, expected[1][wanted], atol=1e-5)
    assert len(scored(predictor, pictures, ids)[1]) == 24


def test_the_reference_has_probabilities_as_they_are_served(
    classifier: Classifier, pictures: ImageDataset
) -> None:
    """With the model's own temperature, and it names the model."""
    kept = classifier.reference()
    assert kept is not None
    assert kept.model == classifier.record.model_digest == model_digest(classifier.serving_directory)
    ids = kept.rows["image_id"].tolist()
    assert classifier.record.reference_rows == len(ids) == 24
    served = Predictor.load(classifier.serving_directory).predict(pictures.pictures(ids))
    expected = [list(each.probabilities.values()) for each in served if isinstance(each, Prediction)]
    np.testing.assert_allclose(kept.scores, expected, atol=1e-5)


def wavering(seed: int = 0, n: int = 300) -> Answers:
    """Answers of a network that is three times too sure and often wrong; every second row is for testing."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, n)
    logits = 3 * (generator.normal(size=(n, 3)) + 2 * np.eye(3)[labels])
    rows = unseen_rows(dataset(n), splits(dataset(n)), 0).head(n)
    rows = rows.assign(
        label=[CLASSES[number] for number in labels],
        split=["validation", "test"] * (n // 2),
        embedded=False,
    )
    return Answers(rows, logits.astype(np.float32), np.zeros((0, 4), np.float32), tuple(CLASSES))


def test_only_validation_rows_choose(classifier: Classifier, tmp_path: Path) -> None:
    """Other answers on test pictures change neither temperature nor threshold, nor the served bytes."""
    answers = wavering()
    turned = answers.logits.copy()
    turned[1::2] = -turned[1::2]
    chosen = []
    for number, given in enumerate((answers, replace(answers, logits=turned))):
        folder = tmp_path / str(number)
        shutil.copytree(classifier.serving_directory, folder / "serving")
        chosen.append(finish(folder, given, CalibrateSettings(risk=0.15)))
    assert chosen[0] == chosen[1]
    calibration, digest = chosen[0]
    assert calibration.n == 150
    assert calibration.temperature > 1.5
    logits, labels = answers.of("validation")
    assert negative_log_likelihood(logits, labels, calibration.temperature) < calibration.nll_before
    metadata = read_metadata(tmp_path / "0" / "serving")
    assert metadata.temperature == calibration.temperature
    assert metadata.abstention_threshold == calibration.threshold > 0
    assert digest == model_digest(tmp_path / "0" / "serving")
    given = probabilities(logits, metadata.temperature).max(axis=1) >= metadata.abstention_threshold
    assert given.mean() == pytest.approx(calibration.coverage)
    assert {"drift_reference.arrow", "reliability.png", "risk_coverage.png"} <= {
        path.name for path in (tmp_path / "0").iterdir()
    }


def test_a_risk_that_is_missed_is_warned_of(
    classifier: Classifier, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what was reached, and the model abstains from nearly everything."""
    shutil.copytree(classifier.serving_directory, tmp_path / "serving")
    with caplog.at_level(logging.WARNING, logger="shutterline"):
        finish(tmp_path, wavering(), CalibrateSettings(risk=0.001))
    assert "calibrate.risk 0.001 is not reached" in caplog.text
    assert read_metadata(tmp_path / "serving").abstention_threshold > 0


def test_answers_come_from_the_serving_directory(classifier: Classifier, pictures: ImageDataset) -> None:
    """Its classes, its preprocessing, its logits."""
    found = unseen_answers(classifier.serving_directory, pictures, splits(pictures), 0, 1)
    assert found.classes == tuple(CLASSES)
    logits, labels = found.of("validation")
    ids = splits(pictures).image_ids("validation")
    assert [CLASSES[number] for number in labels] == pictures.labels(ids)
    assert logits.shape == (len(ids), len(CLASSES))
