"""A model's behaviour, from its served answers to the numbers that a policy knows by name."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from materializers.evaluation.behaviour import Behaviour
from materializers.evaluation.metric import Measured
from steps.evaluation.behaviour.assess import SHEET, assess_behaviour
from steps.evaluation.behaviour.settings import BehaviourSettings
from steps.evaluation.examined import Examined
from tests.steps.evaluation.simple_networks import AlwaysLeft, Halves, both_halves, examined

NAMES = {
    "invariance",
    "directional_covering",
    "minimum_functionality",
    "predicted_classes",
    "same_answer_twice",
    "same_answer_in_another_batch",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Examined:
    """Answers with the brighter half of a picture, and is always right."""
    return examined(tmp_path_factory.mktemp("model"), Halves(), both_halves())


def numbers(section: Behaviour) -> dict[tuple[str, str | None], Measured]:
    """What was measured, by name and subject."""
    return {(each.metric, each.subject): each for each in section.measured()}


def value(section: Behaviour, metric: str, subject: str | None = None) -> float | None:
    """One number."""
    found = numbers(section)[metric, subject].value
    return None if found is None else found.value


def test_a_model_that_tells_left_from_right_is_not_invariant_to_a_flip(model: Examined) -> None:
    """Each transformation has a number of its own, and what broke is shown."""
    section, pictures = assess_behaviour(model, BehaviourSettings())
    assert (section.pictures, section.not_assessed) == (40, None)
    assert value(section, "invariance", "flip") == 0
    for name in ("shift", "brighter", "darker", "jpeg", "png"):
        assert value(section, "invariance", name) == 1
    assert {each.metric for each in section.measured()} == NAMES
    assert list(pictures) == [SHEET]
    flip = numbers(section)["invariance", "flip"].value
    assert flip is not None
    assert (flip.low, flip.n) == (0, 40)
    assert 0 < (flip.high or 0) < 0.1


def test_a_product_that_a_flip_changes_leaves_it_out(model: Examined) -> None:
    """Then nothing is broken, and there is nothing to show."""
    section, pictures = assess_behaviour(model, BehaviourSettings(transformations=("shift", "jpeg")))
    assert {each.subject for each in section.measured() if each.metric == "invariance"} == {"shift", "jpeg"}
    assert pictures == {}


def test_covering_what_is_looked_at_lowers_the_probability(model: Examined) -> None:
    """Half of the sides: a quarter of each half turns grey."""
    section, _ = assess_behaviour(model, BehaviourSettings())
    assert value(section, "directional_covering") == 1
    assert section.covering_drop is not None
    assert 0 < (section.covering_drop.value or 0) < 1


def test_a_model_that_looks_at_nothing_is_found(tmp_path: Path) -> None:
    """Its answers never change, so that every invariance holds; a cover and the missing class tell."""
    section, pictures = assess_behaviour(
        examined(tmp_path, AlwaysLeft(), both_halves()), BehaviourSettings(min_n=20)
    )
    assert value(section, "invariance", "flip") == 1
    assert value(section, "directional_covering") == 0
    assert value(section, "predicted_classes") == 0.5
    assert section.never_predicted == ("right",)
    assert section.answer_entropy == 0
    assert section.true_entropy == pytest.approx(1)
    assert pictures == {}


def test_easy_pictures_have_to_be_right(tmp_path: Path) -> None:
    """One of three is not, and is named; an id that is no test picture is named too, and does not count."""
    model = examined(tmp_path, AlwaysLeft(), both_halves())
    left = [name for name, true in zip(model.image_ids, model.true, strict=True) if true == 0]
    right = [name for name, true in zip(model.image_ids, model.true, strict=True) if true == 1]
    section, _ = assess_behaviour(model, BehaviourSettings(easy_list=(*left[:2], "f" * 64, right[0])))
    found = numbers(section)["minimum_functionality", None].value
    assert found is not None
    assert found.value == pytest.approx(2 / 3)
    assert found.n == 3
    assert (section.easy_wrong, section.easy_unknown) == ((right[0],), ("f" * 64,))


@pytest.mark.parametrize(
    ("settings", "metric", "reason"),
    [
        ({}, "minimum_functionality", "evaluate.behaviour.easy_list names no picture"),
        ({"easy_list": ("f" * 64,)}, "minimum_functionality", "easy_list names no test picture"),
        ({"min_n": 21}, "predicted_classes", "no class has 21 test pictures"),
        ({"transformations": ()}, "invariance", "evaluate.behaviour.transformations names none"),
    ],
)
def test_what_is_not_measured_says_why(
    model: Examined, settings: dict[str, object], metric: str, reason: str
) -> None:
    """No number is made up, and the setting that mends it is named; the other metrics are there."""
    section, _ = assess_behaviour(model, BehaviourSettings.model_validate(settings))
    found = numbers(section)[metric, None]
    assert found.value is None
    assert reason in (found.reason or "")
    assert {each.metric for each in section.measured()} == NAMES
    assert value(section, "same_answer_twice") == 1


def test_without_pictures_nothing_is_assessed(model: Examined) -> None:
    """Every name is there with the reason."""
    section, pictures = assess_behaviour(model, BehaviourSettings(pictures=0))
    assert section.not_assessed == "evaluate.behaviour.pictures is 0"
    assert {each.metric for each in section.measured()} == NAMES
    assert all(each.value is None and each.reason == section.not_assessed for each in section.measured())
    assert pictures == {}


def test_pictures_that_serving_refuses_are_not_asked_about(model: Examined) -> None:
    """They have no answer that could stay; where there is no other picture, nothing is assessed."""
    some = dataclasses.replace(model, predicted=np.where(np.arange(40) < 30, -1, model.predicted))
    assert assess_behaviour(some, BehaviourSettings())[0].pictures == 10
    none = dataclasses.replace(model, predicted=np.full(40, -1))
    assert assess_behaviour(none, BehaviourSettings())[0].not_assessed == "serving refused every test picture"


def test_the_same_model_behaves_the_same_twice(model: Examined) -> None:
    """Numbers and sheet, of a sample too; another seed asks about other pictures."""
    settings = BehaviourSettings(pictures=12)
    first, again = (assess_behaviour(model, settings) for _ in range(2))
    assert first == again
    assert first[0].pictures == 12
    other = assess_behaviour(model, BehaviourSettings(pictures=12, seed=5))
    assert other[1] != first[1]
