"""The wrong answers that the model was surest of."""

from __future__ import annotations

from collections.abc import Iterator

from materializers.evaluation.metric import Measured, Section
from materializers.report import Record


class Mistake(Record):
    """One wrong answer."""

    image_id: str
    true: str
    answered: str
    probability: float
    abstained: bool
    """The model would have abstained from it."""


class WorstMistakes(Section):
    """Wrong answers on test pictures, the most probable first; the pictures lie beside the report."""

    wrong: int = 0
    """All wrong answers; a picture that serving refused has none."""
    mistakes: tuple[Mistake, ...] = ()

    def measured(self) -> Iterator[Measured]:
        """Nothing: no limit is about single pictures."""
        yield from ()
