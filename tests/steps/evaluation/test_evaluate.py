"""Evaluation runs the directory that would be served, on test pictures alone."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from materializers.classifier import Classifier
from materializers.errors import DamagedArtifact
from materializers.evaluation_report import EvaluationReport
from materializers.image_dataset import ImageDataset, Picture
from materializers.picture_sheet import places_of
from materializers.splits import Splits
from pipelines.config import load_config
from serving.model_directory import model_digest, read_metadata, write_metadata
from serving.predictor import Prediction, Predictor
from serving.preprocess import decode
from steps.data.class_changes import NO_CHANGES
from steps.evaluation.comparison.compare import Answers, Other, Rows, compare
from steps.evaluation.comparison.settings import ComparisonSettings
from steps.evaluation.evaluate import (
    comparison_pictures,
    evaluate,
    examine,
    report_on,
)
from steps.evaluation.settings import EvaluateSettings
from tests.shrunk.delivery import SHRUNK_CONFIG
from tests.steps.training.examples import CLASSES, dataset, splits, trained

QUICK = load_config(SHRUNK_CONFIG, ()).evaluate
"""Whatever takes seconds is off."""


def evaluate_model(classifier: Classifier, dataset: ImageDataset, splits: Splits) -> EvaluationReport:
    """What is measured of a model by itself."""
    return report_on(examine(classifier, dataset, splits, QUICK), splits, QUICK)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """A tiny classifier that learnt enough to be right more often than not."""
    return trained(tmp_path_factory.mktemp("model"), epochs=6, learning_rate=0.01)


@pytest.fixture(scope="module")
def pictures() -> ImageDataset:
    """The pictures that it learnt from, and those it did not."""
    return dataset()


@pytest.fixture(scope="module")
def groups(pictures: ImageDataset) -> Splits:
    """Which are which."""
    return splits(pictures)


@pytest.fixture(scope="module")
def report(classifier: Classifier, pictures: ImageDataset, groups: Splits) -> EvaluationReport:
    """Its report."""
    return evaluate_model(classifier, pictures, groups)


def test_the_report_names_what_it_is_about(
    report: EvaluationReport, classifier: Classifier, pictures: ImageDataset, groups: Splits
) -> None:
    """Digests of model, data and splits, the number of test pictures, and the model's size."""
    assert (report.model, report.data) == (classifier.record.model_digest, pictures.version)
    assert (report.splits, report.n) == (groups.digest, len(groups.image_ids("test")))
    assert report.classes == tuple(CLASSES)
    assert report.set_aside == 0
    assert report.model_bytes == sum(path.stat().st_size for path in classifier.serving_directory.iterdir())
    assert {
        "confusion_matrix",
        "roc_curves",
        "reliability_test",
        "risk_coverage_test",
    } <= report.pictures.keys()


def test_to_abstain_makes_no_metric_better(
    classifier: Classifier, pictures: ImageDataset, groups: Splits, report: EvaluationReport, tmp_path: Path
) -> None:
    """A model that abstains from everything is as often right as the one that answers all."""
    shutil.copytree(classifier.directory, tmp_path / "cautious")
    serving = tmp_path / "cautious" / "serving"
    write_metadata(serving, read_metadata(serving).model_copy(update={"abstention_threshold": 1.0}))
    record = classifier.record.model_copy(update={"model_digest": model_digest(serving)})
    cautious = Classifier(tmp_path / "cautious", record)
    ids = groups.image_ids("test")
    answered = Predictor.load(serving).predict(pictures.pictures(ids))
    assert all(isinstance(each, Prediction) and each.abstained for each in answered)
    found = evaluate_model(cautious, pictures, groups)
    assert (found.accuracy, found.f1_macro) == (report.accuracy, report.f1_macro)
    assert (found.confusion, found.set_aside) == (report.confusion, 0)


def test_the_numbers_are_what_serving_answers(
    report: EvaluationReport, classifier: Classifier, pictures: ImageDataset, groups: Splits
) -> None:
    """Accuracy and confusion follow from the predictor's own scores of the test pictures."""
    image_ids = groups.image_ids("test")
    predictor = Predictor.load(classifier.serving_directory)
    images = np.stack(
        [decode(data, predictor.metadata.preprocessing) for data in pictures.pictures(image_ids)]
    )
    predicted = predictor.scores(images)[0].argmax(axis=1)
    true = np.array([CLASSES.index(label) for label in pictures.labels(image_ids)])
    assert report.accuracy.value == pytest.approx((predicted == true).mean())
    assert (report.accuracy.value or 0) > 0.5
    confusion = np.zeros((3, 3), dtype=int)
    np.add.at(confusion, (true, predicted), 1)
    assert np.array_equal(report.confusion, confusion)


def test_the_same_model_measures_the_same_twice(
    report: EvaluationReport, classifier: Classifier, pictures: ImageDataset, groups: Splits
) -> None:
    """Every number that is no time."""
    again = evaluate_model(classifier, pictures, groups)
    assert again == report


def test_a_picture_that_serving_refuses_counts_as_wrong(classifier: Classifier) -> None:
    """One test picture that is text: one less right, and it is counted as set aside."""
    good = dataset()
    index = good.index
    rows = [
        Picture(data, label, 16, 16, 1, source)
        for data, label, source in zip(
            good.pictures(index["image_id"].tolist()), index["label"], index["source"], strict=True
        )
    ]
    bad = ImageDataset.from_pictures([*rows, Picture(b"no picture", "dark", 16, 16, 1, "dark/bad.png")])
    (added,) = set(bad.index["image_id"]) - set(index["image_id"])
    grown = splits(good).members
    grown.loc[len(grown)] = {"image_id": added, "label": "dark", "split": "test"}
    before = evaluate_model(classifier, good, splits(good))
    after = evaluate_model(classifier, bad, Splits(members=grown))
    assert (before.set_aside, after.set_aside) == (0, 1)
    assert after.n == before.n + 1
    assert after.confusion == before.confusion
    assert before.accuracy.value is not None
    assert after.accuracy.value == pytest.approx(before.accuracy.value * before.n / after.n)


def test_a_changed_byte_in_the_model_is_found(
    classifier: Classifier, pictures: ImageDataset, groups: Splits, tmp_path: Path
) -> None:
    """A model whose directory is not the recorded one is not measured."""
    serving = tmp_path / "serving"
    serving.mkdir()
    for file in classifier.serving_directory.iterdir():
        (serving / file.name).write_bytes(file.read_bytes())
    metadata = serving / "metadata.json"
    metadata.write_bytes(metadata.read_bytes().replace(b"dark", b"lark"))
    with pytest.raises(DamagedArtifact, match=r"--train"):
        evaluate_model(Classifier(tmp_path, classifier.record), pictures, groups)


def test_splits_without_a_test_picture_measure_nothing(
    classifier: Classifier, pictures: ImageDataset, groups: Splits
) -> None:
    """No number is made up for an empty test set."""
    members = groups.members[groups.members["split"] != "test"]
    with pytest.raises(DamagedArtifact, match="no test picture"):
        evaluate_model(classifier, pictures, Splits(members=members))


def test_nothing_to_evaluate_is_no_report(pictures: ImageDataset, groups: Splits) -> None:
    """A skipped training is skipped here too."""
    assert (
        evaluate.entrypoint(None, pictures, groups, QUICK, ComparisonSettings(), "first", NO_CHANGES, "shop")
        is None
    )


@pytest.fixture(scope="module")
def whole(classifier: Classifier) -> EvaluationReport:
    """A report with everything on that needs no service, of few pictures, and a comparison with itself."""
    pictures = dataset(per_class=60)
    groups = splits(pictures)
    quick = {"bootstrap_resamples": 100}
    settings = EvaluateSettings.model_validate(
        QUICK.model_dump(mode="json")
        | {
            "unknown": {"pictures": 36, "min_pictures": 20, **quick},
            "slices": {"min_n": 2, "sensitive": ["source"], "min_class_n": 2, **quick},
            "robustness": {"pictures": 8, "severities": [1, 5], "attacked_pictures": 4, "pgd_steps": 2},
            "explanations": {
                "pictures": 12,
                "randomized_pictures": 2,
                "shown": 2,
                "steps": 8,
            },
            "behaviour": {"pictures": 12, "min_n": 2, "easy_list": groups.image_ids("test")[:10]},
        }
    )
    examined = examine(classifier, pictures, groups, settings)
    measured = report_on(examined, groups, settings)
    names = np.array(CLASSES, dtype=object)
    answers = Answers(names[examined.predicted], tuple(CLASSES))
    rows = Rows(names[examined.true], golden=examined.true == 0, new=examined.true == 1)
    champion = compare(rows, answers, Other(answers, version="1", model="ab" * 32), ComparisonSettings())
    compared = {"champion": champion, "anchor": champion.model_copy(update={"against": "anchor"})}
    return measured.model_copy(update=compared).with_pictures(comparison_pictures(compared))


def test_the_page_of_a_whole_evaluation_shows_every_picture_and_is_below_3_mb(
    whole: EvaluationReport,
) -> None:
    """Of a real model: every part that was assessed has its heading, every picture stands in a part.

    Each picture says which photographs it shows, so that one of them can be erased.
    """
    page = whole.page()
    assert len(page.encode()) < 3_000_000
    assert page.count("<img ") == len(whole.pictures) >= 12
    assert "<h2>Pictures" not in page
    for heading in ("Comparison with", "Unknown", "Robustness", "Explanations", "Behaviour", "Slices"):
        assert f"<h2>{heading}" in page, heading
    assert max(map(len, whole.pictures.values())) < 150_000
    assert all(places_of(picture) is not None for picture in whole.pictures.values())
    assert places_of(whole.pictures["model_explainability_reports"])
