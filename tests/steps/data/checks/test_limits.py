"""Tests of steps/data/checks/limits.py: what a limit can be."""

import math

import pytest
from pydantic import ValidationError

from steps.data.checks.limits import CheckLimit, NeededLimit, ShareLimit


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (CheckLimit, {"limit": math.nan, "severity": "warn"}),
        (CheckLimit, {"limit": 1, "severity": "ignore"}),
        (ShareLimit, {"limit": 1.01, "severity": "warn"}),
        (NeededLimit, {"limit": 0, "severity": "warn"}),
    ],
)
def test_a_limit_is_a_number_within_its_range(kind: type[CheckLimit], values: dict[str, object]) -> None:
    """NaN would let everything through; a share over 1 or a softened need is none."""
    with pytest.raises(ValidationError):
        kind.model_validate(values)
