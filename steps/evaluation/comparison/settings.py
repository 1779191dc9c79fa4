"""How much worse than the model before a challenger may be, and how sure one has to be."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from materializers.report import Record

Anchor = Literal["first", "best"]
"""Of the versions that went to production: the first, or the one whose accuracy was best then."""


class ComparisonSettings(Record):
    """Margins are shares of the rows, from 0 to 1: 0.02 is two points.

    Every test is one-sided, and all have the same error rate: a model that is worse by the margin is passed
    in ``alpha`` of all comparisons, one that is as good as the champion is refused for harm in ``harm_alpha``
    of them, whatever the number of classes. With 0.05 for harm, every twentieth equal model would be refused
    for its golden set or its new rows alone, which are noise then.
    """

    margin: float = Field(default=0.02, gt=0, lt=1)
    """The loss of accuracy that has to be excluded, on all rows together."""
    class_margin: float = Field(default=0.05, ge=0, lt=1)
    """The loss of a class's recall that is no harm yet."""
    subset_margin: float = Field(default=0.0, ge=0, lt=1)
    """The loss on the golden set, or on the new rows, that is no harm yet; 0: any loss that is no chance."""
    min_n: int = Field(default=50, ge=1, le=1_000_000)
    """Rows of a class; one with fewer is listed as not assessed."""
    alpha: float = Field(default=0.025, gt=0, lt=0.5)
    """Error rate of the test on all rows; intervals are of 1 − 2 alpha, whose lower bound is that test."""
    harm_alpha: float = Field(default=0.025, gt=0, lt=0.5)
    """Error rate of the tests for harm: of all classes together, and of golden set and new rows together."""
