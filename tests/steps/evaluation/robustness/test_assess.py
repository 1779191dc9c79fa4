"""One call measures what a model withstands, the same again, and only what it was asked for."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from materializers.classifier import Classifier
from materializers.picture_sheet import places_of
from steps.evaluation.examined import Examined
from steps.evaluation.metrics import UNUSABLE
from steps.evaluation.robustness.assess import CURVES, SHEET, assess_robustness
from steps.evaluation.robustness.settings import CORRUPTIONS, RobustnessSettings


def test_everything_is_measured_on_one_sample(examined: Examined) -> None:
    """Seven corruptions at five severities and two attacks, on the 12 pictures, with two PNGs."""
    section, pictures = assess_robustness(examined, RobustnessSettings())
    assert section.not_assessed is None
    assert section.attacks_not_assessed is None
    assert section.accuracy is not None
    assert (section.accuracy.value, section.accuracy.n) == (1.0, 12)
    assert [one.corruption for one in section.corruptions] == list(CORRUPTIONS)
    assert all([at.severity for at in one.severities] == [1, 2, 3, 4, 5] for one in section.corruptions)
    assert [one.name for one in section.attacks] == ["FGSM 2/255", "PGD 2/255"]
    assert section.relative_accuracy is not None
    cells = [at.accuracy.value for one in section.corruptions for at in one.severities]
    assert section.relative_accuracy.value == pytest.approx(np.mean([cell or 0 for cell in cells]))
    assert 0.5 < (section.relative_accuracy.value or 0) < 1
    assert pictures.keys() == {SHEET, CURVES}


def test_the_sheet_shows_a_picture_that_is_answered_rightly(examined: Examined) -> None:
    """The first of the sample: what became of a wrong answer says little."""
    true = examined.true.copy()
    true[0] = (true[0] + 1) % 3
    settings = RobustnessSettings(corruptions=("jpeg",), severities=(1,), attacked_pictures=0)
    _, pictures = assess_robustness(replace(examined, true=true), settings)
    assert list(places_of(pictures[SHEET]) or {}) == [examined.image_ids[1]]


def test_the_same_model_and_seed_give_the_same(examined: Examined) -> None:
    """Numbers and pictures; another seed draws other noise, fog and turns."""
    settings = RobustnessSettings(corruptions=("noise", "fog", "rotation"))
    assert assess_robustness(examined, settings) == assess_robustness(examined, settings)
    other = assess_robustness(examined, settings.model_copy(update={"seed": 1}))
    assert other[1][SHEET] != assess_robustness(examined, settings)[1][SHEET]


def test_a_smaller_sample_costs_less(examined: Examined) -> None:
    """A demo measures a few pictures and attacks none."""
    section, _ = assess_robustness(
        examined, RobustnessSettings(pictures=6, severities=(1, 5), attacked_pictures=0)
    )
    assert section.relative_accuracy is not None
    assert section.relative_accuracy.n == 6
    assert section.attacks_not_assessed == "switched off: evaluate.robustness.attacked_pictures is 0"


def test_switched_off_measures_nothing(examined: Examined) -> None:
    """And names the setting."""
    section, pictures = assess_robustness(examined, RobustnessSettings(pictures=0))
    assert section.not_assessed == "switched off: evaluate.robustness.pictures is 0"
    assert (section.relative_accuracy, pictures) == (None, {})


def test_a_model_without_gradients_is_corrupted_all_the_same(examined: Examined) -> None:
    """Its record is of format 1."""
    old = examined.classifier.record.model_copy(update={"settings": None})
    model = Classifier(examined.classifier.directory, old)
    section, _ = assess_robustness(replace(examined, classifier=model), RobustnessSettings(severities=(1,)))
    assert section.relative_accuracy is not None
    assert section.relative_accuracy.value is not None
    assert section.attacks_not_assessed is not None


def test_without_an_answer_nothing_is_assessed(examined: Examined) -> None:
    """Pictures that serving refuses cannot be corrupted."""
    refused = replace(examined, predicted=np.full_like(examined.predicted, UNUSABLE))
    section, pictures = assess_robustness(refused, RobustnessSettings())
    assert section.not_assessed == "no test picture has an answer"
    assert pictures == {}


def test_nothing_heavy_is_loaded_before_it_is_needed() -> None:
    """The entry point and the settings load no torch; ART is loaded only when something is attacked."""
    light = "import steps.evaluation.robustness.assess, steps.evaluation.robustness.settings"
    heavy = "import steps.evaluation.robustness.attacked"
    code = (
        f"import sys; {light}; print('torch' in sys.modules, 'matplotlib' in sys.modules); "
        f"{heavy}; print('torch' in sys.modules, 'art' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "True", "False"]
