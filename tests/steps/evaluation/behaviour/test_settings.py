"""What can be asked of a model's behaviour."""

import pytest
from pydantic import ValidationError

from steps.evaluation.behaviour.settings import BehaviourSettings


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"transformations": ("flip", "mirror")}, "'flip', 'shift', 'brighter', 'darker', 'jpeg' or 'png'"),
        ({"transformations": ("flip", "shift", "flip")}, "flip is named twice"),
        ({"easy_list": ("a" * 64, "a" * 64)}, "is named twice"),
        ({"shift": 0}, "greater than 0"),
        ({"cover": 1.5}, "less than or equal to 1"),
        ({"picture": 5}, "Extra inputs are not permitted"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, object], said: str) -> None:
    """An unknown transformation, one named twice, a shift by nothing, a cover beyond the picture, a typo."""
    with pytest.raises(ValidationError, match=said):
        BehaviourSettings.model_validate(wrong)
