"""How well unknown pictures are told from test pictures, by the scores of the served model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from materializers.classifier import Classifier
from materializers.evaluation.unknown_pictures import UnknownPictures
from materializers.picture_sheet import places_of
from serving.predictor import Predictor
from steps.evaluation.examined import Examined
from steps.evaluation.unknown_pictures import far, near
from steps.evaluation.unknown_pictures.assess import assess_unknown_pictures, score_pictures
from steps.evaluation.unknown_pictures.detection import FAR, KNOWN, NEAR
from steps.evaluation.unknown_pictures.scoring import Scorer
from steps.evaluation.unknown_pictures.settings import UnknownPicturesSettings
from tests.steps.evaluation.answered import with_threshold

QUICK = UnknownPicturesSettings(pictures=60, bootstrap_resamples=100)


def measured(found: UnknownPictures) -> dict[str, float | None]:
    return {each.metric: each.value.value if each.value else None for each in found.measured()}


def test_the_numbers_are_of_what_serving_scores(base: Examined) -> None:
    """The AUROC of the predictor's probabilities of test pictures and of what is made of them."""
    found, _ = assess_unknown_pictures(base, QUICK)
    positions = base.sample(60, QUICK.seed)
    pixels = base.pixels(positions)
    generator = np.random.default_rng(QUICK.seed)
    made, _, _ = near.near_pictures(pixels, base.true[positions], generator)
    blank, _ = far.far_pictures(60, 16, 16, generator)
    scorer = Scorer(base.predictor, None, 10)
    sure = base.probabilities[positions].max(axis=1)
    for detected, unknown in ((found.near, made), (found.far, blank)):
        assert detected is not None
        both = np.concatenate([sure, scorer(unknown, ["any"] * 60).sure])
        assert detected.auroc.value == pytest.approx(roc_auc_score(np.arange(120) < 60, both))
        assert detected.auroc.n == 120
    assert measured(found) == {
        "near_ood_auroc": found.near.auroc.value if found.near else None,
        "far_ood_auroc": found.far.auroc.value if found.far else None,
    }
    assert found.known == 60
    assert set(found.kinds) == {*near.KINDS, *far.KINDS}
    assert sum(found.kinds[kind].answered.n for kind in far.KINDS) == 60


def test_more_pictures_than_a_batch_are_all_scored(base: Examined) -> None:
    """Row by row: a near picture stands where what it was made of does."""
    scored, _ = score_pictures(base, base.sample(120, 0), Scorer(base.predictor, None, 10), 0)
    assert [len(scored[name].sure) for name in (KNOWN, NEAR, FAR)] == [120, 120, 120]
    assert scored[KNOWN].sure == pytest.approx(base.probabilities.max(axis=1), abs=1e-6)


def test_a_model_without_a_reference_has_the_score_of_its_probabilities_alone(base: Examined) -> None:
    """And the report says why there is no other."""
    record = base.classifier.record.model_copy(update={"reference_rows": None})
    older = replace(base, classifier=Classifier(base.classifier.directory, record))
    found, _ = assess_unknown_pictures(older, QUICK)
    assert found.far is not None
    assert found.far.embedding_auroc is None
    assert found.far.auroc.value is not None
    assert found.embedding_not_assessed is not None
    assert "no drift reference" in found.embedding_not_assessed


def test_a_damaged_reference_is_named(base: Examined, tmp_path: Path) -> None:
    """The probabilities are assessed without it."""
    copy = with_threshold(base, 0.0, tmp_path / "model")
    (copy.classifier.directory / "drift_reference.arrow").write_bytes(b"nothing")
    found, _ = assess_unknown_pictures(copy, QUICK)
    assert found.near is not None
    assert found.embedding_not_assessed is not None
    assert "cannot be read" in found.embedding_not_assessed


def test_the_same_model_measures_the_same_twice(base: Examined) -> None:
    """Numbers and pictures; another seed makes others."""
    first, again = assess_unknown_pictures(base, QUICK), assess_unknown_pictures(base, QUICK)
    assert first == again
    other, _ = assess_unknown_pictures(base, QUICK.model_copy(update={"seed": 1}))
    assert other != first[0]


def test_few_pictures_are_not_assessed(base: Examined) -> None:
    """The reason names both numbers, and the setting where that is what mends it."""
    found, pictures = assess_unknown_pictures(base, QUICK.model_copy(update={"pictures": 30}))
    assert found.not_assessed is not None
    assert "30 test pictures are compared, 50 at least" in found.not_assessed
    assert "--set evaluate.unknown.pictures=50" in found.not_assessed
    assert pictures == {}
    strict = UnknownPicturesSettings(min_pictures=500, pictures=600)
    assert "120 test pictures" in (assess_unknown_pictures(base, strict)[0].not_assessed or "")


def test_nothing_is_made_where_nothing_is_asked_for(base: Examined) -> None:
    """Both numbers are missing, with the reason and what mends it."""
    found, _ = assess_unknown_pictures(base, QUICK.model_copy(update={"pictures": 0}))
    for each in found.measured():
        assert each.value is None
        assert each.reason is not None
        assert "--set evaluate.unknown.pictures=300" in each.reason


def test_a_network_whose_answer_is_not_a_number_is_not_assessed(base: Examined, tmp_path: Path) -> None:
    """No number is made up for it."""
    import onnx
    from onnx import numpy_helper

    broken = with_threshold(base, 0.0, tmp_path / "model")
    file = broken.classifier.serving_directory / "model.onnx"
    network = onnx.load(file)
    for tensor in network.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(np.full_like(values, np.nan), tensor.name))
    onnx.save(network, file)
    predictor = Predictor.load(broken.classifier.serving_directory)
    found, pictures = assess_unknown_pictures(replace(broken, predictor=predictor), QUICK)
    assert found.not_assessed == "the network's answer to a made picture is not a number"
    assert pictures == {}


def test_the_pictures_are_small_and_a_test_picture_can_be_erased_from_them(base: Examined) -> None:
    """The sheet names the test pictures that near ones were made of; the chart shows none."""
    _, pictures = assess_unknown_pictures(base, QUICK)
    assert set(pictures) == {"unknown_scores", "unknown_pictures"}
    assert all(len(png) < 150_000 for png in pictures.values())
    shown = places_of(pictures["unknown_pictures"])
    assert shown is not None
    # A jigsaw and an elastic picture show one test picture each, two halves and a blend two.
    assert 4 <= len(shown) <= 6
    assert set(shown) <= set(base.image_ids)
    assert places_of(pictures["unknown_scores"]) == {}
