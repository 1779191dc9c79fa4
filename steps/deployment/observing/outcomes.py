"""What one version answered since a stage began: its captures beside the feedback that came to them.

One row a request, the unit that all tests count. Of a request with several pictures the first one that has an
answer stands for it, for pictures of one request are too much alike to be counted as so many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steps.deployment.observing.moments import NEVER, Moments, moments
from steps.monitoring.traffic.labels import joined

if TYPE_CHECKING:
    import pandas as pd

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
NO_LABEL = -1
FAILED, REJECTED = 500, 400
CAPTURED = (
    *("request_id", "position", "at", "latency_ms", "status", "input_digest"),
    *("label", "probability", "abstained"),
)
"""The columns of captures that are read."""
SENT = ["request_id", "position", "input_digest"]
"""By which a picture that was sent again is known: an id alone some clients use for everything they ask."""


@dataclass(frozen=True)
class Outcomes:
    """What became of n requests, in the order in which they came.

    Args:
        request_id: ``(n,)``.
        at: ``(n,)``, ascending.
        status: ``(n,)``, HTTP's.
        latency_ms: ``(n,)``, in the service.
        answered: ``(n,)``, whether a picture of it got an answer.
        label: ``(n,)``, the number of the class in ``classes``; ``NO_LABEL`` without an answer.
        classes: their names, sorted.
        probability: ``(n,)``, of that class; NaN without an answer.
        abstained: ``(n,)``; False without an answer.
        correct: ``(n,)``, whether the answer is the label that was posted; False without one.
        labelled_at: ``(n,)``, when that label was posted; ``NEVER`` without one, or without an answer.
        value: ``(n,)``, the business figure; NaN without one.
        valued_at: ``(n,)``, when that was posted; ``NEVER`` without one.
    """

    request_id: NDArray[np.object_]
    at: Moments
    status: NDArray[np.int64]
    latency_ms: Floats
    answered: Flags
    label: NDArray[np.int64]
    classes: tuple[str, ...]
    probability: Floats
    abstained: Flags
    correct: Flags
    labelled_at: Moments
    value: Floats
    valued_at: Moments

    def __len__(self) -> int:
        """How many requests."""
        return len(self.at)

    def since(self, begin: int) -> Outcomes:
        """Those of a moment and after it, in microseconds since 1970."""
        first = int(np.searchsorted(self.at, begin))
        if not first:
            return self
        columns = {
            field.name: getattr(self, field.name)[first:] for field in fields(self) if field.name != "classes"
        }
        return replace(self, **columns)


def outcomes_of(captures: pd.DataFrame, feedback: pd.DataFrame) -> Outcomes:
    """Put the captures of one version beside feedback, by the rule of :mod:`steps.monitoring.traffic.labels`.

    The same pictures under the same id are one request, whose first answer counts: an ingress asks again what
    takes long.

    Args:
        captures: columns ``CAPTURED``, one row a picture.
        feedback: columns ``POSTED``; of any version.
    """
    import pandas as pd

    pictures = captures.loc[:, list(CAPTURED)].sort_values(["at", "request_id", "position"], kind="stable")
    again = pictures["input_digest"].notna() & pictures.duplicated(SENT)
    said = joined(pictures[~again], feedback).rows
    said["answered"] = said["label"].notna() & (said["status"] < REJECTED)
    # Of each request the first row with an answer, else its first row.
    first = (
        said.sort_values(["at", "request_id", "answered"], ascending=[True, True, False], kind="stable")
        .drop_duplicates(["at", "request_id"])
        .reset_index(drop=True)
    )
    has_answer = first["answered"].to_numpy(dtype=bool)
    label = pd.Categorical(first["label"].where(first["answered"]))
    correct = first["correct"].fillna(value=False).to_numpy(dtype=bool)
    return Outcomes(
        request_id=first["request_id"].to_numpy(dtype=object),
        at=moments(first["at"]),
        status=first["status"].to_numpy(dtype=np.int64),
        latency_ms=first["latency_ms"].to_numpy(dtype=np.float64),
        answered=has_answer,
        label=np.asarray(label.codes, dtype=np.int64),
        classes=tuple(str(name) for name in label.categories),
        probability=np.where(has_answer, first["probability"].to_numpy(dtype=np.float64), np.nan),
        abstained=(first["abstained"].eq(True) & has_answer).to_numpy(dtype=bool),
        correct=correct & has_answer,
        labelled_at=np.where(has_answer, moments(first["labelled_at"]), NEVER),
        value=first["value"].to_numpy(dtype=np.float64),
        valued_at=moments(first["valued_at"]),
    )


def united(first: Outcomes, second: Outcomes) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[str, ...]]:
    """The classes of two versions' answers, numbered alike.

    Returns:
        Both versions' labels, ``NO_LABEL`` where there was no answer, and the names of the classes.
    """
    if first.classes == second.classes:
        return first.label, second.label, first.classes
    names = tuple(sorted({*first.classes, *second.classes}))
    return _renumbered(first, names), _renumbered(second, names), names


def _renumbered(outcomes: Outcomes, names: Sequence[str]) -> NDArray[np.int64]:
    place = {name: number for number, name in enumerate(names)}
    numbers = np.array([*(place[name] for name in outcomes.classes), NO_LABEL], dtype=np.int64)
    return numbers[outcomes.label]  # the last one, by -1, of no answer
