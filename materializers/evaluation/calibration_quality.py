"""Whether the probabilities that are served are true ones, on test pictures."""

from __future__ import annotations

from collections.abc import Iterator

from materializers.evaluation.metric import Measured, Metric, Section
from materializers.report import Record


class ReliabilityBin(Record):
    """The answers whose probability is in one bin."""

    low: float
    high: float
    """Bounds of the probability; ``high`` belongs to the next bin, but for 1."""
    count: int
    confidence: float
    """The mean probability of these answers."""
    accuracy: Metric
    """The share of them that is right, with Wilson's interval."""


class CalibrationQuality(Section):
    """How far the probability of an answer is from the share that is right.

    Of every test picture that serving answers, also of those from which the model abstains.
    """

    temperature: float | None = None
    """By which the served model divides its logits; it was chosen on validation pictures."""
    expected_calibration_error: Metric | None = None
    """From 0 to 1 (Guo et al. 2017). The resamples err on the high side, and so does the interval."""
    error_if_calibrated: float | None = None
    """What the error would be on average if every probability were true, with as many pictures: an error
    near it is the noise of a finite test set (Bröcker and Smith 2007)."""
    brier_score: Metric | None = None
    """The mean squared distance of all k probabilities from the truth, summed over classes: 0 to 2."""
    bins: tuple[ReliabilityBin, ...] = ()
    """The reliability curve: bins that have answers, from the least probable."""

    def measured(self) -> Iterator[Measured]:
        """The expected calibration error."""
        yield Measured(
            metric="expected_calibration_error",
            value=self.expected_calibration_error,
            reason=self.not_assessed,
        )
