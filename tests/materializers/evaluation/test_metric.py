"""One number with its interval, and a part that says why it has none."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from materializers.evaluation.metric import Metric, Section


def test_half_an_interval_is_none() -> None:
    """Neither bound is made up from the other."""
    assert Metric(value=0.5, low=0.4, high=0.6, n=10).interval == (0.4, 0.6)
    assert Metric(value=0.5, low=0.4, n=10).interval is None
    assert Metric(value=0.5, high=0.6, n=10).interval is None


def test_a_number_has_its_rows() -> None:
    """Without them nobody knows what it is worth."""
    with pytest.raises(ValidationError, match="n"):
        Metric.model_validate({"value": 0.5})


@pytest.mark.parametrize("value", [0.1 + 0.2, math.inf, None, 1e-300])
def test_a_number_is_read_back_as_it_was_written(value: float | None) -> None:
    """To the last digit: the digest of a report depends on it."""
    stored = Metric(value=value, n=3)
    assert Metric.model_validate_json(stored.model_dump_json()) == stored


def test_a_part_that_hands_nothing_over_is_none() -> None:
    """Its numbers would be in no verdict, and nobody would notice."""

    class Silent(Section):
        share: Metric | None = None

    with pytest.raises(TypeError, match="measured"):
        Silent()  # type: ignore[abstract]
