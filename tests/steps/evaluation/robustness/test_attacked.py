"""Attacks follow the torch weights, their pictures are answered by serving, and no number is made up."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from materializers.classifier import WEIGHTS, Classifier
from serving.model_directory import read_metadata
from serving.predictor import Predictor
from steps.evaluation.examined import Examined
from steps.evaluation.robustness.attacked import NO_GRADIENT, assess_attacks
from steps.evaluation.robustness.settings import RobustnessSettings
from steps.evaluation.torch_network import load_network
from steps.training.export import export

STRONG = RobustnessSettings(epsilons_255=(2, 100))


class Watched(Predictor):
    """Remembers what it was asked for, and what it answered."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor._session, predictor.metadata, predictor.digest)
        self.asked: list[NDArray[np.uint8]] = []
        self.answered: list[NDArray[np.int64]] = []

    def scores(self, images: NDArray[np.uint8], batch_size: int = 64) -> Any:
        found = super().scores(images, batch_size)
        self.asked.append(images)
        self.answered.append(found[0].argmax(axis=1))
        return found


def test_a_trained_network_loses_accuracy_under_attack(examined: Examined) -> None:
    """All clean pictures are answered rightly, most at ε = 100/255 are not; PGD is no weaker than FGSM."""
    accuracy, attacks, reason = assess_attacks(examined, STRONG)
    assert reason is None
    assert accuracy is not None
    assert (accuracy.value, accuracy.n) == (1.0, 12)
    assert [one.name for one in attacks] == ["FGSM 2/255", "PGD 2/255", "FGSM 100/255", "PGD 100/255"]
    by_name = {one.name: one for one in attacks}
    fgsm, pgd = (by_name[name].accuracy.value for name in ("FGSM 100/255", "PGD 100/255"))
    assert fgsm is not None
    assert pgd is not None
    assert pgd <= fgsm < 0.7
    assert by_name["PGD 100/255"].answers_changed.value == pytest.approx(1 - pgd)
    assert by_name["FGSM 2/255"].pictures_changed.value == 1.0


def test_attacked_pictures_are_answered_by_what_is_served(examined: Examined) -> None:
    """As uint8 pictures within ε of the clean ones; the accuracies are of those answers."""
    watched = Watched(examined.predictor)
    _, attacks, _ = assess_attacks(replace(examined, predictor=watched), STRONG)
    clean, *asked = watched.asked
    assert len(asked) == len(attacks) == 4
    for attack, images, answers in zip(attacks, asked, watched.answered[1:], strict=True):
        assert images.dtype == np.uint8
        assert 0 < np.abs(images.astype(int) - clean).max() <= attack.epsilon_255
        assert attack.accuracy.value == pytest.approx((answers == examined.true).mean())


def test_an_answer_is_changed_where_it_was_another_one_before(examined: Examined) -> None:
    """Not where it is wrong: a picture that was answered wrongly, and is again, is not changed."""
    wrong = replace(examined, true=(examined.true + 1) % 3)
    accuracy, (fgsm, pgd), _ = assess_attacks(wrong, RobustnessSettings(epsilons_255=(1,)))
    assert accuracy is not None
    assert accuracy.value == fgsm.accuracy.value == pgd.accuracy.value == 0
    assert fgsm.answers_changed.value == pgd.answers_changed.value == 0


def test_fewer_pictures_can_be_attacked(examined: Examined) -> None:
    """The attacked ones are part of the corrupted ones, so that there are never more."""
    for settings in (RobustnessSettings(attacked_pictures=6), RobustnessSettings(pictures=6)):
        accuracy, attacks, _ = assess_attacks(examined, settings)
        assert accuracy is not None
        assert accuracy.n == attacks[0].accuracy.n == 6


def test_switched_off_is_said_with_the_setting(examined: Examined) -> None:
    """Nothing is loaded and nothing attacked."""
    found = assess_attacks(examined, RobustnessSettings(attacked_pictures=0))
    assert found == (None, (), "switched off: evaluate.robustness.attacked_pictures is 0")


def test_a_record_without_settings_has_no_gradients(examined: Examined) -> None:
    """A model of format 1 is not attacked, and says what mends it."""
    old = examined.classifier.record.model_copy(update={"settings": None})
    model = Classifier(examined.classifier.directory, old)
    _, attacks, reason = assess_attacks(replace(examined, classifier=model), STRONG)
    assert attacks == ()
    assert reason is not None
    assert "format 2" in reason
    assert reason.endswith("python run.py --train --source PATH")


def test_other_weights_than_the_served_ones_are_not_attacked(examined: Examined, tmp_path: Path) -> None:
    """What misleads a network with the opposite head says nothing about the one that is served."""
    shutil.copytree(examined.classifier.directory, tmp_path / "model")
    weights = load_file(tmp_path / "model" / WEIGHTS)
    save_file({**weights, "head.4.weight": -weights["head.4.weight"]}, tmp_path / "model" / WEIGHTS)
    model = Classifier(tmp_path / "model", examined.classifier.record)
    accuracy, attacks, reason = assess_attacks(replace(examined, classifier=model), STRONG)
    assert accuracy is not None
    assert accuracy.value == 1.0
    assert attacks == ()
    assert reason is not None
    assert "is not the one that is served" in reason


def test_a_network_without_a_gradient_is_not_attacked(
    examined: Examined, examining: Callable[[Classifier], Examined], tmp_path: Path
) -> None:
    """One that answers the same to every picture would be robust by the numbers."""
    constant = load_network(examined.classifier).network
    with torch.no_grad():
        constant.get_parameter("head.4.weight").zero_()
    export(constant, read_metadata(examined.classifier.serving_directory), tmp_path)
    found = assess_attacks(examining(Classifier(tmp_path, examined.classifier.record)), STRONG)
    assert found[1:] == ((), NO_GRADIENT)
