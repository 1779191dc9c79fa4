"""The surest wrong answers come first, as pictures that can be erased."""

from dataclasses import replace

import numpy as np
import pytest

from materializers.picture_sheet import places_of
from steps.evaluation.examined import Examined
from steps.evaluation.metrics import UNUSABLE, worst
from steps.evaluation.worst_mistakes import WorstMistakesSettings, assess_worst_mistakes
from tests.steps.evaluation.answered import examined
from tests.steps.training.examples import CLASSES, trained


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Examined:
    """A tiny model and its answers on 30 new pictures."""
    return examined(trained(tmp_path_factory.mktemp("model"), epochs=1), 10)


@pytest.fixture
def mistaken(base: Examined) -> Examined:
    """Right answers but for positions 3, 5 and 8, which are wrong and ever surer; 9 has no answer."""
    true = base.true
    scores = np.full((30, 3), 0.02)
    scores[np.arange(30), true] = 0.96
    predicted = true.copy()
    for position, probability in ((3, 0.5), (5, 0.7), (8, 0.9)):
        predicted[position] = (true[position] + 1) % 3
        scores[position] = (1 - probability) / 2
        scores[position, predicted[position]] = probability
    predicted[9], scores[9] = UNUSABLE, worst(int(true[9]), 3)
    return replace(base, predicted=predicted, probabilities=scores)


def test_the_surest_mistake_comes_first(mistaken: Examined) -> None:
    """With its label, the answer and the probability; a picture without an answer is none."""
    found, _ = assess_worst_mistakes(mistaken, WorstMistakesSettings())
    assert found.wrong == 3
    assert [each.image_id for each in found.mistakes] == [mistaken.image_ids[place] for place in (8, 5, 3)]
    first = found.mistakes[0]
    assert first.true == CLASSES[mistaken.true[8]]
    assert first.answered == CLASSES[mistaken.predicted[8]]
    assert first.probability == pytest.approx(0.9)
    assert not first.abstained


def test_no_more_than_asked_for_are_shown(mistaken: Examined) -> None:
    """All are counted."""
    found, pictures = assess_worst_mistakes(mistaken, WorstMistakesSettings(pictures=2))
    assert (found.wrong, len(found.mistakes)) == (3, 2)
    assert len(places_of(pictures["worst_mistakes"]) or ()) == 2


def test_the_sheet_says_which_pictures_it_shows(mistaken: Examined) -> None:
    """So that a forgotten one can be erased from it."""
    found, pictures = assess_worst_mistakes(mistaken, WorstMistakesSettings())
    assert set(places_of(pictures["worst_mistakes"]) or ()) == {each.image_id for each in found.mistakes}
    assert len(pictures["worst_mistakes"]) < 150_000


def test_a_model_without_a_mistake_has_no_sheet(base: Examined) -> None:
    """And that is assessed."""
    found, pictures = assess_worst_mistakes(replace(base, predicted=base.true), WorstMistakesSettings())
    assert (found.wrong, found.mistakes, found.not_assessed, pictures) == (0, (), None, {})


def test_none_are_shown_where_none_is_asked_for(mistaken: Examined) -> None:
    """The report says which setting shows them."""
    found, pictures = assess_worst_mistakes(mistaken, WorstMistakesSettings(pictures=0))
    assert found.not_assessed is not None
    assert "--set evaluate.worst_mistakes.pictures=12" in found.not_assessed
    assert pictures == {}
