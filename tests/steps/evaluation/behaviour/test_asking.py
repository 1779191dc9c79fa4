"""What is served answers for pictures after a change."""

import numpy as np
import pytest
from PIL import Image

from steps.evaluation.behaviour.asking import COVER, answers_to, ask_changed, changed, labels_of
from steps.evaluation.behaviour.settings import TRANSFORMATIONS, BehaviourSettings
from steps.evaluation.examined import Examined
from tests.serving.pictures import encode
from tests.steps.evaluation.simple_networks import SIDE, Halves, both_halves, examined, halves

SETTINGS = BehaviourSettings()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Examined:
    """Answers with the brighter half of a picture; 80 pictures, more than are held in memory at a time."""
    return examined(tmp_path_factory.mktemp("model"), Halves(), both_halves(40))


def test_each_change_is_answered_for_each_picture_in_its_place(model: Examined) -> None:
    """A flip turns every answer around; light, a shift and another file format leave it."""
    positions = np.array([3, 70, 41])
    found = ask_changed(model, positions, (*TRANSFORMATIONS, COVER), SETTINGS)
    assert list(found) == ["flip", "shift", "brighter", "darker", "jpeg", "png", "cover"]
    answered = model.predicted[positions]
    assert labels_of(found["flip"]).tolist() == (1 - answered).tolist()
    for name in ("shift", "brighter", "darker", "jpeg", "png"):
        assert labels_of(found[name]).tolist() == answered.tolist()
    assert found["png"] == pytest.approx(model.probabilities[positions], abs=1e-9)
    assert (found["jpeg"] != found["png"]).any()


def test_probabilities_are_calibrated_as_the_served_ones_are(model: Examined) -> None:
    """A change that leaves a picture as it is leaves its probabilities as they are."""
    positions = np.arange(80)
    hardly = BehaviourSettings(brightness=1e-6)
    found = ask_changed(model, positions, ("brighter",), hardly)["brighter"]
    assert found == pytest.approx(model.probabilities, abs=1e-6)


def test_the_same_picture_is_shifted_the_same_way_alone_and_among_others(model: Examined) -> None:
    """So that the picture which is shown is the one that was asked about; another seed draws other ways."""
    positions = np.arange(30)
    pixels = model.pixels(positions)
    together = changed("shift", pixels, positions, SETTINGS)
    alone = changed("shift", pixels[7:8], positions[7:8], SETTINGS)
    assert np.array_equal(together[7:8], alone)
    other = changed("shift", pixels, positions, BehaviourSettings(seed=1))
    assert not np.array_equal(together, other)


def test_a_refused_picture_has_no_answer(model: Examined) -> None:
    """It spoils none beside it."""
    good = encode(Image.fromarray(halves("left", 5, SIDE)))
    found = answers_to(model.predictor, [b"no picture", good])
    assert labels_of(found).tolist() == [-1, 0]
