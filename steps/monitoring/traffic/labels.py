"""What people said of answers, put beside them: one rule, for monitoring and for what decides a rollout.

The first that was posted counts. A rollout is decided by looks that are replayed from what was stored: were
a later label to take the place of an earlier one, a look that was taken would turn out to have seen something
else, and the error rate that all looks share would hold no more. What monitoring said of a day stays as it
was said, too. A correction is not lost by that: both are stored, and pictures that were given different
labels are counted, so that one sees where the first is not to be trusted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

POSTED = ("request_id", "position", "at", "label", "reward", "value")
"""The columns of feedback."""
PICTURE = ["request_id", "position"]


@dataclass(frozen=True)
class Joined:
    """Captures with what was said of them.

    Attributes:
        rows: the captures that were given, in their order, with the columns ``truth`` (the label),
            ``labelled_at`` (when that was posted; with the request at the earliest), ``correct`` (None
            without a truth or an answer), ``delay_s`` (from the request to the label), ``reward``, ``value``
            and ``valued_at`` (of the request, likewise).
        unmatched: feedback that no capture is there for, or that does not say which picture it means.
        conflicts: pictures that were given different labels.
    """

    rows: pd.DataFrame = field(repr=False)
    unmatched: int
    conflicts: int


def joined(captures: pd.DataFrame, feedback: pd.DataFrame) -> Joined:
    """Put labels, rewards and figures beside the captures that they are about.

    The first label of a picture counts, and the first reward and figure of a request; of two that were posted
    at one moment the smaller, so that the order in the store does not matter. A label that names no position
    means the only picture of its request; where there are several, nobody knows which, and it is unmatched.
    What is said of an id that a version answered several times is about the first of those requests. A
    request that several versions answered, as in a shadow release, has its label beside each answer.

    Args:
        captures: one row a picture: ``request_id``, ``position``, ``at`` and ``label`` at least, and
            ``model_version`` where they are of several.
        feedback: columns ``POSTED``, of any requests.
    """
    import pandas as pd

    rows = captures.reset_index(drop=True).astype({"request_id": object})
    rows["at"] = pd.to_datetime(rows["at"], utc=True)
    request = ["request_id", "model_version"] if "model_version" in rows else ["request_id"]
    pictures = rows[[*request, "position"]].astype({"position": "Int64"}).assign(row=rows.index)
    pictures = pictures[rows["at"].eq(rows.groupby(request)["at"].transform("min"))]
    alone = pictures.groupby(request)["position"].transform("nunique").eq(1)
    pictures = pictures.assign(alone=alone)
    said = feedback.loc[:, list(POSTED)].reset_index(drop=True).rename_axis("number").reset_index()
    said = said.astype({"request_id": object, "position": "Int64"})
    said = said.rename(columns={"position": "about", "at": "posted"})

    about = pictures.merge(said, on="request_id")
    meant = about["about"].eq(about["position"]).fillna(value=False)
    labels = about[about["label"].notna() & (meant | (about["about"].isna() & about["alone"]))]
    truth, reward, value = (
        _first(given, name) for given, name in ((labels, "label"), (about, "reward"), (about, "value"))
    )
    rows["truth"], rows["labelled_at"] = truth["label"], truth["posted"]
    rows["reward"] = reward["reward"].astype("float64")
    rows["value"], rows["valued_at"] = value["value"].astype("float64"), value["posted"]
    for name in ("labelled_at", "valued_at"):  # nobody speaks of what was not asked yet: a clock is behind
        rows[name] = rows[name].mask(rows[name] < rows["at"], rows["at"])
    both = rows["truth"].notna() & rows["label"].notna()
    rows["correct"] = rows["truth"].eq(rows["label"]).astype("boolean").where(both)
    rows["delay_s"] = (rows["labelled_at"] - rows["at"]).dt.total_seconds()

    of_a_request = said["label"].isna() & said["request_id"].isin(rows["request_id"])
    matched = of_a_request | said["number"].isin(labels["number"])
    conflicts = labels.groupby(PICTURE)["label"].nunique().gt(1)
    # What one message says of a request beside its label lies in a row of its own, and counts with that.
    unmatched = said.loc[~matched].sort_values("label", na_position="last", kind="stable")
    beside = unmatched["label"].isna() & unmatched.duplicated(["request_id", "posted"])
    return Joined(rows, unmatched=int((~beside).sum()), conflicts=int(conflicts.sum()))


def _first(given: pd.DataFrame, name: str) -> pd.DataFrame:
    """Of each row of captures what was posted first in a column."""
    posted = given[given[name].notna()].sort_values(["posted", name], kind="stable")
    return posted.drop_duplicates("row").set_index("row")
