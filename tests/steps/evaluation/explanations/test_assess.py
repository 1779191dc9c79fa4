"""The part of the evaluation that explains answers and tests the explanations."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from materializers.classifier import WEIGHTS, Classifier
from materializers.evaluation.explanations import Explanations
from materializers.evaluation.metric import Metric
from materializers.picture_sheet import places_of
from steps.evaluation.evaluate import examine
from steps.evaluation.examined import Examined
from steps.evaluation.explanations.answers import explain_answers
from steps.evaluation.explanations.assess import (
    IMPORTANCE,
    SHEET,
    assess_explanations,
    completeness_error,
    measure_deletion,
    measure_randomization,
)
from steps.evaluation.explanations.settings import ExplanationsSettings
from steps.evaluation.settings import EvaluateSettings
from steps.evaluation.torch_network import Logits, load_network, untrained_network
from tests.steps.evaluation.explanations.examples import (
    SHARE,
    Corner,
    Deaf,
    served,
    with_checked_corner,
)
from tests.steps.training.examples import dataset, splits, trained

QUICK = ExplanationsSettings(pictures=12, randomized_pictures=6, steps=8)
LIMIT = 0.10
"""The product's, for the lower bound of the margin."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Examined:
    """A tiny classifier that learnt enough, with its answers on twelve pictures."""
    pictures = dataset()
    classifier = trained(tmp_path_factory.mktemp("model"), epochs=6, learning_rate=0.01)
    return examine(classifier, pictures, splits(pictures), EvaluateSettings())


@pytest.fixture(scope="module")
def assessed(model: Examined) -> tuple[Explanations, dict[str, bytes]]:
    """What is said of it."""
    return assess_explanations(model, QUICK)


def test_a_trained_model_is_explained_with_numbers_and_pictures(
    model: Examined, assessed: tuple[Explanations, dict[str, bytes]]
) -> None:
    """Each number has its interval and its pictures, and each name of a policy its number."""
    section, pictures = assessed
    assert section.not_assessed is None
    assert section.pictures == 12
    assert section.right == np.count_nonzero(model.true == model.predicted)
    values = {each.metric: each.value for each in section.measured()}
    assert set(values) == {
        "explanation_deletion_margin",
        "explanation_deletion_margin_grad_cam",
        "explanation_weight_randomization",
    }
    for value in values.values():
        assert value is not None
        assert value.low is not None
        assert value.value is not None
        assert value.high is not None
        assert -1 <= value.low <= value.value <= value.high <= 1
    assert [value.n for value in values.values() if value] == [12, 12, 6]
    assert pictures.keys() == {SHEET, IMPORTANCE}
    assert section.completeness_error is not None
    assert section.completeness_error < 0.2


def test_the_margin_is_the_difference_of_the_drops(
    assessed: tuple[Explanations, dict[str, bytes]],
) -> None:
    """Of Integrated Gradients and of Grad-CAM from random pixels."""
    deletion = assessed[0].deletion
    assert deletion is not None
    assert deletion.grad_cam is not None
    assert deletion.margin_grad_cam is not None
    random = deletion.random.value or 0
    assert deletion.margin.value == pytest.approx((deletion.integrated_gradients.value or 0) - random)
    assert deletion.margin_grad_cam.value == pytest.approx((deletion.grad_cam.value or 0) - random)


def test_features_are_ranked_and_their_shares_are_of_all(
    assessed: tuple[Explanations, dict[str, bytes]],
) -> None:
    """Twenty of the 128 dimensions."""
    features = assessed[0].features
    assert features is not None
    assert features.dimensions == 128
    assert len(features.first) == 20
    shares = [each.share for each in features.first]
    assert shares == sorted(shares, reverse=True)
    assert 20 / 128 < sum(shares) < 1
    assert features.first[0].importance == pytest.approx(shares[0] * features.total)


def test_the_sheet_shows_what_the_section_names(
    model: Examined, assessed: tuple[Explanations, dict[str, bytes]]
) -> None:
    """Its pictures with class, answer and probability."""
    section, pictures = assessed
    places = places_of(pictures[SHEET])
    assert places is not None
    assert places.keys() == {each.image_id for each in section.shown}
    for each in section.shown:
        position = model.image_ids.index(each.image_id)
        assert each.true == model.classes[model.true[position]]
        assert each.answered == model.classes[model.predicted[position]]
        assert each.probability == pytest.approx(model.probabilities[position].max())


def test_the_same_model_is_explained_alike_twice(
    model: Examined, assessed: tuple[Explanations, dict[str, bytes]]
) -> None:
    """To the digit, pictures too; another seed gives another sample's numbers."""
    section, pictures = assess_explanations(model, QUICK)
    assert section == assessed[0]
    assert pictures == assessed[1]
    other, _ = assess_explanations(model, QUICK.model_copy(update={"seed": 1}))
    assert other.deletion != section.deletion


def test_no_answer_is_shown_where_none_is_asked_for(model: Examined) -> None:
    """The numbers are there all the same."""
    section, pictures = assess_explanations(model, QUICK.model_copy(update={"shown": 0}))
    assert section.shown == ()
    assert pictures.keys() == {IMPORTANCE}
    assert section.deletion is not None


@pytest.mark.parametrize(("network", "passes"), [(Corner(), True), (Deaf(), False)])
def test_only_a_network_whose_explanations_hold_passes_the_limit(
    model: Examined, tmp_path: Path, network: Corner | Deaf, passes: bool
) -> None:
    """One that looks at a corner does; one that ignores its input has nothing to explain."""
    pixels, answered = with_checked_corner(12), np.ones(12, dtype=np.int64)
    given = explain_answers(network, np.arange(12), pixels, answered, steps=8)
    settings = QUICK.model_copy(update={"deleted_share": SHARE})
    found = measure_deletion(replace(model, predictor=served(network, tmp_path)), given, settings)
    assert found.margin.low is not None
    assert (found.margin.low >= LIMIT) == passes
    # Neither has a convolutional layer.
    assert given.cam is None
    assert found.grad_cam is None
    assert found.margin_grad_cam is None


def test_explanations_of_a_network_that_learnt_nothing_are_no_better_than_random(model: Examined) -> None:
    """They point at outlines and texture too, but not at those that the trained one answers by."""
    pixels, everything = model.pixels(range(12)), np.arange(12)

    def margin(network: Logits) -> float:
        explained = explain_answers(network, everything, pixels, model.predicted, steps=8)
        return measure_deletion(model, explained, QUICK).margin.value or 0

    assert margin(untrained_network(model.classifier.record, 0)) < 0.02
    assert margin(load_network(model.classifier)) > 0.1


def test_a_network_that_ignores_its_input_makes_up_no_number(model: Examined, tmp_path: Path) -> None:
    """Its explanations have no order that could be like another, and no logit that could be missed."""
    pixels, answered = model.pixels(range(12)), np.ones(12, dtype=np.int64)
    explained = explain_answers(Deaf(), np.arange(12), pixels, answered, steps=2)
    compared = measure_randomization(model, explained, QUICK)
    assert compared.order == compared.sizes == Metric(value=None, n=0)
    assert completeness_error(replace(model, predictor=served(Deaf(), tmp_path)), explained) is None


def refused(model: Examined, settings: ExplanationsSettings = QUICK) -> str:
    """Why nothing is assessed; without a number, and without a picture."""
    section, pictures = assess_explanations(model, settings)
    assert section == Explanations(not_assessed=section.not_assessed)
    assert pictures == {}
    assert section.not_assessed is not None
    return section.not_assessed


def test_switched_off_is_not_assessed(model: Examined) -> None:
    """The setting is named."""
    assert "evaluate.explanations.pictures is 0" in refused(model, QUICK.model_copy(update={"pictures": 0}))


def test_too_few_pictures_give_no_interval(model: Examined) -> None:
    """What is missing, and the setting, are named."""
    reason = refused(model, QUICK.model_copy(update={"pictures": 9}))
    assert reason.startswith("9 answers could be explained")
    assert "evaluate.explanations.pictures" in reason


def test_a_record_without_settings_has_no_gradients(model: Examined) -> None:
    """A model of format 1 is not explained."""
    old = model.classifier.record.model_copy(update={"settings": None, "format_version": 1})
    assert "--train" in refused(replace(model, classifier=Classifier(model.classifier.directory, old)))


def test_weights_of_another_network_explain_nothing(model: Examined, tmp_path: Path) -> None:
    """What is served is another model than the weights beside it."""
    shutil.copytree(model.classifier.directory, tmp_path / "model")
    weights = tmp_path / "model" / WEIGHTS
    tensors = load_file(weights)
    save_file(tensors | {"backbone.0.weight": tensors["backbone.0.weight"] * 2}, weights)
    altered = Classifier(tmp_path / "model", model.classifier.record)
    assert "is not the one that is served" in refused(replace(model, classifier=altered))
