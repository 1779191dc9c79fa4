"""What one version answered since a stage began: its captures beside the feedback that came to them.

One row a request, the unit that all tests count. Of a request with several pictures the first one that has an
answer stands for it, for pictures of one request are too much alike to be counted as so many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Moments = NDArray[np.int64]
"""Microseconds since 1970, UTC."""
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
NEVER = np.iinfo(np.int64).max
NO_LABEL = -1
FAILED, REJECTED = 500, 400
CAPTURED = ("request_id", "position", "at", "latency_ms", "status", "label", "probability", "abstained")
"""The columns of captures that are read."""
POSTED = ("request_id", "position", "at", "label", "value")
"""The columns of feedback that are read."""


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
    """Join the captures of one version with feedback.

    The first label and the first business figure that were posted for a request count, so that a look that
    was taken stays as it was. Feedback on a request that was never captured belongs to nothing. Where two
    requests had one id, feedback is the first one's.

    Args:
        captures: columns ``CAPTURED``, one row a picture.
        feedback: columns ``POSTED``; of any version.
    """
    import pandas as pd

    pictures = captures.loc[:, list(CAPTURED)].sort_values(
        ["at", "request_id", "position"], kind="stable", ignore_index=True
    )
    answered = pictures["label"].notna() & (pictures["status"] < REJECTED)
    # Of each request the first row with an answer, else its first row.
    first = (
        pictures.assign(answered=answered)
        .sort_values(["at", "request_id", "answered"], ascending=[True, True, False], kind="stable")
        .drop_duplicates(["at", "request_id"])
        .reset_index(drop=True)
    )
    has_answer = first["answered"].to_numpy(dtype=bool)
    label = pd.Categorical(first["label"].where(first["answered"]))
    owners = first[~first.duplicated("request_id")].reset_index(names="row")
    truth = _first_posted(owners, feedback, "label")
    value = _first_posted(owners, feedback, "value")
    at = _moments(first["at"])
    labelled_at = np.full(len(first), NEVER)
    correct = np.zeros(len(first), dtype=bool)
    rows = truth["row"].to_numpy(dtype=np.int64)
    labelled_at[rows] = np.maximum(_moments(truth["posted"]), at[rows])
    correct[rows] = (truth["given"].astype(str) == first.loc[rows, "label"].astype(str).to_numpy()).to_numpy()
    labelled_at[~has_answer] = NEVER
    rows = value["row"].to_numpy(dtype=np.int64)
    valued_at, values = np.full(len(first), NEVER), np.full(len(first), np.nan)
    valued_at[rows] = np.maximum(_moments(value["posted"]), at[rows])
    values[rows] = value["given"].to_numpy(dtype=np.float64)
    return Outcomes(
        request_id=first["request_id"].to_numpy(dtype=object),
        at=at,
        status=first["status"].to_numpy(dtype=np.int64),
        latency_ms=first["latency_ms"].to_numpy(dtype=np.float64),
        answered=has_answer,
        label=np.asarray(label.codes, dtype=np.int64),
        classes=tuple(str(name) for name in label.categories),
        probability=np.where(has_answer, first["probability"].to_numpy(dtype=np.float64), np.nan),
        abstained=(first["abstained"].eq(True) & has_answer).to_numpy(dtype=bool),
        correct=correct & has_answer,
        labelled_at=labelled_at,
        value=values,
        valued_at=valued_at,
    )


def moment(when: datetime) -> int:
    """A moment as arrays have it.

    Raises:
        ValueError: it has no time zone.
    """
    if when.tzinfo is None:
        raise ValueError(f"{when} has no time zone, so that nobody knows when that is.")
    return round(when.timestamp() * 1_000_000)


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


def _first_posted(owners: pd.DataFrame, feedback: pd.DataFrame, column: str) -> pd.DataFrame:
    """The first that was posted on each request: its row, what was given, and when.

    What is about the request as a whole, or about the picture that stands for it, counts.
    """
    posted = feedback.loc[feedback[column].notna(), ["request_id", "position", "at", column]].rename(
        columns={"at": "posted", column: "given", "position": "about"}
    )
    posted = posted.astype({"request_id": object})
    # The value first where two were posted at one moment, so that the order in the store does not matter.
    posted = posted.sort_values(["posted", "given"], kind="stable")
    known = owners[["row", "request_id", "position"]].astype({"request_id": object})
    joined = known.merge(posted, on="request_id", how="inner")
    meant = joined["about"].isna() | (joined["about"] == joined["position"])
    return joined[meant].sort_values(["posted", "given"], kind="stable").drop_duplicates("row")


def _moments(times: pd.Series) -> Moments:
    import pandas as pd

    return np.asarray(
        pd.to_datetime(times, utc=True).dt.tz_localize(None).to_numpy(dtype="datetime64[us]").astype(np.int64)
    )
