"""Tests of steps/data/checks/sensitive.py: a column whose groups are compared has to be there."""

from __future__ import annotations

import pandas as pd
import pytest

from steps.data.checks.limits import CheckLimit
from steps.data.checks.sensitive import check_sensitive_columns

NONE = CheckLimit(limit=0, severity="refuse")
INDEX = pd.DataFrame(
    {
        "image_id": ["a", "b", "c"],
        "shop": ["north", "south", None],
        "season": ["winter", "winter", None],
        "empty": [None, None, None],
    }
)


def test_a_column_with_two_groups_passes() -> None:
    """And so does a property that pictures have by themselves; nothing declared is no check."""
    (check,) = check_sensitive_columns(INDEX, ["shop", "brightness", "picture_size", "source"], NONE)
    assert (check.name, check.outcome, check.measured) == ("sensitive_columns", "passed", 0)
    assert check_sensitive_columns(INDEX, [], NONE) == []


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("origin", "no column origin, which is declared sensitive"),
        ("season", "column season, which is declared sensitive, holds the one value 'winter'"),
        ("empty", "column empty, which is declared sensitive, holds no value"),
    ],
)
def test_a_column_that_makes_no_groups_is_refused_with_those_that_there_are(column: str, said: str) -> None:
    """One of several is enough; the message names what the data has and the setting."""
    (check,) = check_sensitive_columns(INDEX, ["shop", column], NONE)
    assert (check.outcome, check.measured) == ("refused", 1)
    assert said in check.reason
    assert "beside those of every delivery: shop, season, empty" in check.reason
    assert "evaluate.slices.sensitive" in check.reason
