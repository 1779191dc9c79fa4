"""Margins and error rates that make no sense are refused."""

import pytest
from pydantic import ValidationError

from steps.evaluation.comparison.settings import ComparisonSettings


def test_the_defaults_are_the_products() -> None:
    """2 points overall, 5 a class, 50 rows a class."""
    settings = ComparisonSettings()
    assert (settings.margin, settings.class_margin, settings.min_n) == (0.02, 0.05, 50)
    assert (settings.alpha, settings.harm_alpha) == (0.025, 0.025)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("margin", 0),
        ("margin", 2),
        ("margin", float("nan")),
        ("class_margin", -0.01),
        ("subset_margin", 1),
        ("min_n", 0),
        ("min_n", -1),
        ("min_n", 1_000_001),
        ("alpha", 0.5),
        ("harm_alpha", 0),
        ("margins", 0.02),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_name(key: str, value: float) -> None:
    """Points are no shares: 2 is not two points."""
    with pytest.raises(ValidationError, match=key):
        ComparisonSettings.model_validate({key: value})
