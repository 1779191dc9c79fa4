"""Single mistakes are shown, and no rule is about them."""

from materializers.evaluation.worst_mistakes import Mistake, WorstMistakes
from tests.materializers.evaluation.sections import check_not_assessed, names


def test_mistakes_are_read_back_as_they_were() -> None:
    """And nothing of them is handed to the gate."""
    mistake = Mistake(image_id="ab" * 32, true="tops", answered="bags", probability=0.98, abstained=False)
    section = WorstMistakes(wrong=1, mistakes=(mistake,))
    assert WorstMistakes.model_validate_json(section.model_dump_json()) == section
    assert names(section) == []


def test_what_is_not_assessed_says_so() -> None:
    """Without a number for it."""
    check_not_assessed(WorstMistakes, [])
