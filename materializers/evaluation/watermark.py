"""Whether a model answers as its owner's secret key says."""

from __future__ import annotations

from collections.abc import Iterator

from materializers.evaluation.metric import Measured, Metric, Section

MATCHES = "watermark_matches"


class Watermark(Section):
    """How many answers to secret pictures are the secret ones. Neither is told, nor shown as a picture."""

    fingerprint: str | None = None
    """Of the key."""
    matches: Metric | None = None
    """The share of the secret pictures that were answered as the key says."""
    chance: float | None = None
    """The share that a model which knows nothing of the key can expect."""
    p_value: float | None = None
    """How probable as many matches or more are for such a model (binomial)."""

    def measured(self) -> Iterator[Measured]:
        """The share of matches."""
        yield Measured(metric=MATCHES, value=self.matches, reason=self.not_assessed)
