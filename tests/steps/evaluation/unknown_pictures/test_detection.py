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
from steps.evaluation.unknown_pictures.detection import (
    FAR,
    KNOWN,
    NEAR,
    Scored,
    Scorer,
    UnknownPicturesSettings,
    assess_unknown_pictures,
    detections,
    known_embeddings,
    score_pictures,
)
from tests.steps.evaluation.answered import examined, with_threshold
from tests.steps.training.examples import trained

QUICK = UnknownPicturesSettings(pictures=60, bootstrap_resamples=100)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Examined:
    """A tiny model and its answers on 120 new pictures."""
    return examined(trained(tmp_path_factory.mktemp("model"), epochs=4), 40)


def scores(kind: str, low: float, high: float, count: int = 100, seed: int = 0) -> Scored:
    """Scores that are drawn between two bounds."""
    sure = np.random.default_rng([seed, len(kind)]).uniform(low, high, count)
    return Scored(np.array([kind] * count), sure, None)


def measured(found: UnknownPictures) -> dict[str, float | None]:
    return {each.metric: each.value.value if each.value else None for each in found.measured()}


def test_pictures_that_the_model_is_less_sure_of_are_detected() -> None:
    """All of them: 1; as sure of as of the known ones: a coin; surer: below it. Each with interval and n."""
    scored = {
        KNOWN: scores("known", 0.8, 1.0),
        NEAR: scores("jigsaw", 0.8, 1.0, seed=1),
        FAR: scores("noise", 0.2, 0.6),
    }
    found = detections(scored, 0.5, resamples=200, seed=0)
    assert set(found) == {"near", "far", "jigsaw", "noise"}
    assert found["far"].auroc.model_dump() == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 200}
    coin = found["near"].auroc
    assert coin.low is not None
    assert coin.high is not None
    assert coin.low < 0.5 < coin.high
    assert coin.high - coin.low < 0.25
    swapped = {KNOWN: scored[FAR], NEAR: scored[KNOWN], FAR: scored[KNOWN]}
    assert detections(swapped, 0.5, resamples=100, seed=0)["near"].auroc.value == 0


def test_how_many_unknown_pictures_get_an_answer() -> None:
    """At the model's threshold, with Wilson's interval."""
    half = Scored(np.array(["flat"] * 100), np.arange(1, 101) / 100, None)
    found = detections({KNOWN: half, NEAR: half, FAR: half}, 0.75, resamples=100, seed=0)
    assert found["flat"].answered.value == pytest.approx(0.26)
    assert found["flat"].answered.n == 100


def test_a_near_picture_is_drawn_as_often_as_what_it_was_made_of() -> None:
    """A pair whose scores rise and fall together says more than two pictures that have nothing in common."""
    known = scores("known", 0.5, 1.0, 200)
    pair = Scored(np.array(["jigsaw"] * 200), known.sure - 0.1, None)
    found = detections({KNOWN: known, NEAR: pair, FAR: pair}, 0, resamples=500, seed=0)
    tied, loose = found["near"].auroc, found["far"].auroc
    assert tied.value == loose.value
    assert None not in (tied.high, tied.low, loose.high, loose.low)
    assert tied.high - tied.low < 0.6 * (loose.high - loose.low)  # type: ignore[operator]


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


def test_embeddings_are_compared_with_those_of_validation_pictures_alone(base: Examined) -> None:
    """The test pictures of the drift reference are what is to be told apart; noise is unlike any."""
    bank = known_embeddings(base.classifier)
    reference = base.classifier.reference()
    assert reference is not None
    assert not isinstance(bank, str)
    assert len(bank) == (reference.rows["split"] == "validation").sum() < len(reference)
    found, _ = assess_unknown_pictures(base, QUICK)
    assert found.far is not None
    assert found.far.embedding_auroc is not None
    assert found.far.embedding_auroc.n == 120
    scorer = Scorer(base.predictor, bank, 1)
    positions = base.sample(20, 0)
    nearest = scorer(base.pixels(positions), ["known"] * 20).alike
    assert nearest is not None
    _, embeddings = base.predictor.scores(base.pixels(positions))
    cosines = (embeddings @ bank.T) / np.outer(
        np.linalg.norm(embeddings, axis=1), np.linalg.norm(bank, axis=1)
    )
    assert nearest == pytest.approx(cosines.max(axis=1), abs=1e-5)


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
