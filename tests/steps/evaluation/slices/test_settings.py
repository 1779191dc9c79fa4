"""Which settings of the slices are taken."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from steps.evaluation.slices.settings import SlicesSettings


@pytest.mark.parametrize(
    "wrong",
    [{"min_n": 1}, {"max_groups": 1}, {"properties": ["contrast"]}, {"sensitiv": ["shop"]}, {"seed": -1}],
)
def test_a_setting_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    """A group of one, one group, a property that nobody measures, and a misspelt key."""
    with pytest.raises(ValidationError) as raised:
        SlicesSettings(**wrong)
    assert next(iter(wrong)) in str(raised.value)


def test_nothing_is_sensitive_unless_it_is_declared() -> None:
    """And a group must be as large as the product asks."""
    assert SlicesSettings().sensitive == ()
    assert SlicesSettings().min_n == 50
