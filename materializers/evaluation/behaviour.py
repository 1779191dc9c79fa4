"""How a model behaves: what changes its answer and must not, and what must change it."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from materializers.evaluation.metric import Measured, Metric, Section
from materializers.report import Record

INVARIANCE, COVERING = "invariance", "directional_covering"
EASY, PREDICTED_CLASSES = "minimum_functionality", "predicted_classes"
TWICE, ANOTHER_BATCH = "same_answer_twice", "same_answer_in_another_batch"


class Invariance(Record):
    """What one transformation, which changes no product, did to the answers."""

    transformation: str
    kept: Metric
    """The share of the pictures whose answer stayed."""
    probability_change: Metric
    """The mean of how far the probability of the answer moved, up or down, from 0 to 1."""


class Behaviour(Section):
    """Invariance, direction and minimum functionality (Ribeiro et al. 2020, "Beyond accuracy"), constancy.

    What a transformation, a cover or a second request did is the share of a sample of test pictures.
    """

    pictures: int = 0
    """Test pictures that were asked about."""
    invariances: tuple[Invariance, ...] = ()
    covering: Metric | None = None
    """The share of the pictures whose answer got less probable when the middle was covered."""
    covering_drop: Metric | None = None
    """The mean of how much the probability of the answer fell, from −1 to 1."""
    easy: Metric | None = None
    """The share of the easy pictures that were answered right."""
    easy_wrong: tuple[str, ...] = ()
    """The easy pictures that were not."""
    easy_unknown: tuple[str, ...] = ()
    """What the list of easy pictures names and is no test picture."""
    predicted_classes: Metric | None = None
    """The share of the classes of the test set that are answered at all. It has no interval: these classes
    are all there are."""
    never_predicted: tuple[str, ...] = ()
    answer_entropy: float | None = None
    true_entropy: float | None = None
    """Of the mix of answers, and of true classes: 0 is one class alone, 1 is all alike."""
    twice: Metric | None = None
    """The share of the pictures with the same probabilities, to the bit, when asked twice."""
    another_batch: Metric | None = None
    """The share with the same label, alone and in two batches, and probabilities within ``tolerance``."""
    largest_difference: float | None = None
    """Of a probability between these."""
    tolerance: float | None = None
    missing: dict[str, str] = Field(default_factory=dict)
    """Why a metric was not measured, by its name."""

    def measured(self) -> Iterator[Measured]:
        """Each invariance by its transformation, then one number of each kind."""
        if not self.invariances:
            yield self._measured(INVARIANCE, None)
        for each in self.invariances:
            yield Measured(metric=INVARIANCE, subject=each.transformation, value=each.kept)
        yield self._measured(COVERING, self.covering)
        yield self._measured(EASY, self.easy)
        yield self._measured(PREDICTED_CLASSES, self.predicted_classes)
        yield self._measured(TWICE, self.twice)
        yield self._measured(ANOTHER_BATCH, self.another_batch)

    def _measured(self, name: str, value: Metric | None) -> Measured:
        reason = None if value is not None else self.not_assessed or self.missing.get(name)
        return Measured(metric=name, value=value, reason=reason)
