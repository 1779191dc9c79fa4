"""What the service tells whoever records its traffic: an ``Exchange`` a request, and what is said of it.

The service depends on the protocol alone; what is kept of an exchange, and where, is the recorder's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from serving.captured_line import Said
from serving.predictor import PictureError, Prediction


@dataclass(frozen=True)
class Exchange:
    """A request that was answered, or that failed.

    Args:
        request_id: that the answer carries.
        at: when all of it had arrived, in seconds since the epoch.
        seconds: from then to its answer, what it waited included.
        status: of HTTP.
        reason: why there is no answer; None: there is one.
        pictures: ``p`` as they were sent, without base64; None for one that was not base64. Empty where the
            request holds none.
        answers: one a picture; empty where the request failed before.
        logits: ``(m, k)`` float32 of the m pictures with a prediction, in their order.
        embeddings: ``(m, d)`` float32, likewise.
    """

    request_id: str
    at: float
    seconds: float
    status: int
    reason: str | None
    pictures: Sequence[bytes | None]
    answers: Sequence[Prediction | PictureError]
    logits: NDArray[np.float32]
    embeddings: NDArray[np.float32]


@dataclass(frozen=True)
class Model:
    """What answers; the probabilities of its answers are in the order of ``classes``."""

    name: str
    version: str
    digest: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class GivenFeedback:
    """What somebody said of a request, ``at`` in seconds since the epoch."""

    request_id: str
    at: float
    said: tuple[Said, ...]


class Recorder(Protocol):
    """Keeps exchanges. Threads call it while callers wait: it never waits and never raises."""

    def record(self, exchange: Exchange) -> None:
        """Keep one exchange, or drop it and count that."""

    def feedback(self, feedback: GivenFeedback) -> bool:
        """Keep what was said of an answer; False: it was dropped and counted."""

    def newly_dropped(self) -> int:
        """How many exchanges and feedbacks were dropped since this was asked last."""

    def close(self) -> None:
        """Write what is kept; the process ends."""
