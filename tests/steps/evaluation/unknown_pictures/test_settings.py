"""How many unknown pictures are made."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from steps.evaluation.unknown_pictures.settings import UnknownPicturesSettings


@pytest.mark.parametrize(
    "given", [{"min_pictures": 19}, {"neighbours": 0}, {"bootstrap_resamples": 99}, {"pictures": 10_001}]
)
def test_numbers_that_say_nothing_are_refused(given: dict[str, int]) -> None:
    """Too few pictures or resamples for an interval, no neighbour, more than fits in a run's time."""
    (name,) = given
    with pytest.raises(ValidationError, match=name):
        UnknownPicturesSettings.model_validate(given)


def test_none_can_be_made() -> None:
    """Which switches the part off."""
    assert UnknownPicturesSettings(pictures=0).pictures == 0
