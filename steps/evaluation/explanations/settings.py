"""How explanations are made and examined, as ``evaluate.explanations`` sets it."""

from __future__ import annotations

from pydantic import Field

from materializers.report import Record


class ExplanationsSettings(Record):
    """What is explained, and how thoroughly.

    Time goes into gradients, ``steps`` for each of ``pictures``, of ``randomized_pictures`` and of the wrong
    answers that are shown: at 28 pixels a thousandth of a second each, at 224 about 0.25 CPU-seconds.
    """

    pictures: int = Field(default=32, ge=0, le=100_000)
    """Test pictures that the deletion test is made on; 0: explanations are not assessed."""
    randomized_pictures: int = Field(default=8, ge=1, le=100_000)
    """Of them, whose explanations are compared with those of a network with random weights."""
    shown: int = Field(default=6, ge=0, le=12)
    """Right answers on the sheet, and as many wrong ones."""
    steps: int = Field(default=16, ge=2, le=1000)
    """Gradients that Integrated Gradients takes for one picture."""
    deleted_share: float = Field(default=0.2, gt=0, lt=1)
    """Of a picture's pixels, that the deletion test replaces."""
    random_draws: int = Field(default=5, ge=1, le=1000)
    """Draws of random pixels for a picture, whose mean drop the others are compared with."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the sample, the random pixels and the random weights."""
