"""What a model withstands: pictures that are worse than those it was tested on, and attacked ones."""

from __future__ import annotations

from collections.abc import Iterator

from materializers.evaluation.metric import Measured, Metric, Section
from materializers.report import Record

RELATIVE_ACCURACY = "corruption_relative_accuracy"
RELATIVE_ACCURACY_OF = "corruption_relative_accuracy_of"
ADVERSARIAL_ACCURACY = "adversarial_accuracy"
"""What a policy knows the numbers by."""


class AtSeverity(Record):
    """The answers on the sample, corrupted at one severity."""

    severity: int
    """1 to 5."""
    accuracy: Metric
    relative_accuracy: Metric
    """Of the accuracy on the same pictures as they are."""


class Corrupted(Record):
    """The answers on the sample under one corruption."""

    corruption: str
    relative_accuracy: Metric
    """The mean over the severities."""
    severities: tuple[AtSeverity, ...]


class Attacked(Record):
    """The answers on pictures that were changed to mislead the model."""

    attack: str
    epsilon_255: int
    """By how much each value of a picture was changed at most, in 255ths of the range."""
    accuracy: Metric
    answers_changed: Metric
    """The share of the pictures whose answer is another one than before."""
    pictures_changed: Metric
    """The share of the pictures that are not as they were; FGSM leaves those that give it no gradient."""

    @property
    def name(self) -> str:
        """The attack and its strength, such as ``FGSM 2/255``."""
        return f"{self.attack} {self.epsilon_255}/255"


class Robustness(Section):
    """Accuracy on a sample of the test pictures: as they are, corrupted, and attacked."""

    accuracy: Metric | None = None
    """On the sample as it is."""
    relative_accuracy: Metric | None = None
    """The mean over all corruptions and severities; its interval is over the pictures."""
    corruptions: tuple[Corrupted, ...] = ()
    attacked_accuracy: Metric | None = None
    """On the pictures to attack, which are part of the sample, as they are."""
    attacks: tuple[Attacked, ...] = ()
    attacks_not_assessed: str | None = None
    """Why nothing was attacked, in one sentence; None: something was."""

    def measured(self) -> Iterator[Measured]:
        """The relative accuracy, of each corruption too, and the accuracy under each attack."""
        why = self.not_assessed
        undefined = "no picture of the sample is answered rightly as it is"
        yield Measured(
            metric=RELATIVE_ACCURACY,
            value=self.relative_accuracy,
            reason=why or _unless(self.relative_accuracy, undefined),
        )
        for one in self.corruptions:
            reason = _unless(one.relative_accuracy, undefined)
            yield Measured(
                metric=RELATIVE_ACCURACY_OF,
                subject=one.corruption,
                value=one.relative_accuracy,
                reason=reason,
            )
        if not self.corruptions:
            yield Measured(metric=RELATIVE_ACCURACY_OF, value=None, reason=why)
        for attacked in self.attacks:
            yield Measured(metric=ADVERSARIAL_ACCURACY, subject=attacked.name, value=attacked.accuracy)
        if not self.attacks:
            yield Measured(metric=ADVERSARIAL_ACCURACY, value=None, reason=self.attacks_not_assessed or why)


def _unless(metric: Metric | None, reason: str) -> str | None:
    """The reason for a number that is there and not defined."""
    return reason if metric is not None and metric.value is None else None
