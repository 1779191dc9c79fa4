"""A model under examination: a sample keeps the classes, pixels are those that are served."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from serving.predictor import Prediction
from steps.evaluation.examined import Examined
from steps.evaluation.metrics import UNUSABLE
from tests.steps.evaluation.answered import examined
from tests.steps.training.examples import CLASSES, trained


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Examined:
    """A tiny model and its answers on 120 pictures, forty a class."""
    return examined(trained(tmp_path_factory.mktemp("model"), epochs=2), 40)


def uneven(base: Examined) -> Examined:
    """The same pictures, taken for 100 of the first class, 19 of the second and one of the third."""
    return replace(base, true=np.array([0] * 100 + [1] * 19 + [2]))


def test_a_sample_has_each_class_by_its_share_and_none_without_a_picture(base: Examined) -> None:
    """Half of the pictures are half of each class; of three pictures each class has one."""
    model = uneven(base)
    counts = np.bincount(model.true[model.sample(60, 0)], minlength=3)
    assert counts.tolist() == [pytest.approx(50, abs=1), pytest.approx(9, abs=1), 1]
    assert sorted(model.true[model.sample(3, 0)].tolist()) == [0, 1, 2]


def test_a_sample_is_the_same_for_the_same_seed_and_in_order(base: Examined) -> None:
    """Another seed draws others; no picture twice."""
    first = base.sample(30, 5)
    assert first.tolist() == sorted(set(first.tolist()))
    assert first.tolist() == base.sample(30, 5).tolist()
    assert first.tolist() != base.sample(30, 6).tolist()


def test_a_picture_without_an_answer_is_in_no_sample(base: Examined) -> None:
    """There may be fewer than are asked for."""
    predicted = base.predicted.copy()
    predicted[::2] = UNUSABLE
    answered = replace(base, predicted=predicted)
    assert answered.sample(500, 0).tolist() == list(range(1, 120, 2))
    assert len(replace(base, predicted=np.full(120, UNUSABLE)).sample(5, 0)) == 0


def test_pixels_are_what_serving_scores(base: Examined) -> None:
    """The network's scores of them are the answers that serving gave, in the order that is asked for."""
    positions = [7, 3, 100]
    pixels = base.pixels(positions)
    assert pixels.shape == (3, 16, 16, 3)
    assert pixels.dtype == np.uint8
    assert base.predictor.scores(pixels)[0].argmax(axis=1).tolist() == base.predicted[positions].tolist()
    served = base.predictor.predict(base.dataset.pictures([base.image_ids[place] for place in positions]))
    labels = [each.label for each in served if isinstance(each, Prediction)]
    assert labels == [CLASSES[number] for number in base.predicted[positions]]


def test_rows_stand_in_the_order_of_the_pictures(base: Examined) -> None:
    """Each with the label that its class number names."""
    assert base.rows["image_id"].tolist() == list(base.image_ids)
    assert base.rows["label"].tolist() == [CLASSES[number] for number in base.true]
    assert base.classes == tuple(CLASSES)
