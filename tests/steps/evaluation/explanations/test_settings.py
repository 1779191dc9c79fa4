"""How thoroughly answers are explained."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from steps.evaluation.explanations.settings import ExplanationsSettings


@pytest.mark.parametrize(
    "given",
    [
        {"deleted_share": 0.0},
        {"deleted_share": 1.0},
        {"steps": 1},
        {"randomized_pictures": 0},
        {"random_draws": 0},
        {"shown": 13},
        {"pictures": -1},
    ],
)
def test_what_explains_nothing_is_refused(given: dict[str, float]) -> None:
    """To delete nothing or all, to go the way in one step, to compare with nothing."""
    (name,) = given
    with pytest.raises(ValidationError, match=name):
        ExplanationsSettings.model_validate(given)


def test_it_can_be_switched_off() -> None:
    """And then says so itself: no picture, no explanation."""
    assert ExplanationsSettings(pictures=0).pictures == 0
