"""Split pictures into train, validation and test without leaking: a group never spans two splits.

A picture that the previous splits know stays where it was, so that the test set of a later version was never
trained on by an earlier one.
"""

import hashlib
from collections import Counter, defaultdict
from functools import partial
from math import isclose
from typing import Annotated, Self

import pandas as pd
from pydantic import Field, model_validator
from zenml import step

from materializers.image_dataset import ImageDataset
from materializers.report import Record
from materializers.splits import SPLITS, Splits

Counts = dict[str, int]
"""Pictures per class."""


class Shares(Record):
    """The share of each class's pictures in each split; they sum to 1."""

    train: float = Field(default=0.70, gt=0, lt=1)
    validation: float = Field(default=0.15, gt=0, lt=1)
    test: float = Field(default=0.15, gt=0, lt=1)

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        total = self.train + self.validation + self.test
        if not isclose(total, 1, abs_tol=1e-6):
            raise ValueError(f"train, validation and test sum to {total:g}; they have to sum to 1")
        return self


class SplitSettings(Record):
    """How pictures are split."""

    shares: Shares = Shares()
    seed: int = 0


def groups_of(index: pd.DataFrame) -> pd.Series:
    """The group of each row; a picture without a group is its own."""
    return index["group"].where(index["group"].notna(), index["image_id"]).astype(str)


def assign_splits(index: pd.DataFrame, *, previous: Splits | None, shares: Shares, seed: int) -> pd.Series:
    """Give every picture a split, keeping groups together and each class's shares.

    What the previous splits know stays. A new picture of a known group goes where most of the group's known
    pictures are (they can be in two splits when the group was named later; of equal numbers, train before
    validation before test). New groups follow in the order of the hash of their
    name, each to the split that lacks most of its class.

    Args:
        index: one row a picture; columns ``image_id``, ``label``, ``group``. The order of rows has no effect.
        previous: the splits that these grow from.
        shares: fractions that sum to 1.
        seed: same index, previous and seed, same splits.

    Returns:
        ``train``, ``validation`` or ``test`` for each row, with the index of ``index``. A class of at least
        three new groups has a picture in every split.
    """
    frame = pd.DataFrame(
        {"image_id": index["image_id"], "label": index["label"].astype(str), "group": groups_of(index)}
    )
    known = {} if previous is None else previous.known
    frame["split"] = frame["image_id"].map(known).astype(object)
    place = _places_of_known_groups(frame)
    frame["split"] = frame["split"].where(frame["split"].notna(), frame["group"].map(place))
    place = _fill(frame, shares, seed)
    return frame["split"].where(frame["split"].notna(), frame["group"].map(place))


def _sizes(frame: pd.DataFrame, outer: str, inner: str) -> dict[str, Counts]:
    """The number of rows per value of ``outer``, then of ``inner``."""
    counted = frame.groupby([outer, inner]).size().reset_index(name="rows")
    sizes: dict[str, Counts] = defaultdict(dict)
    for first, second, rows in zip(counted[outer], counted[inner], counted["rows"], strict=True):
        sizes[first][second] = int(rows)
    return sizes


def _places_of_known_groups(frame: pd.DataFrame) -> dict[str, str]:
    """The split of most known pictures of each group that has any."""
    votes = _sizes(frame.dropna(subset=["split"]), "group", "split")
    return {group: max(SPLITS, key=lambda name: counts.get(name, 0)) for group, counts in votes.items()}


def _fill(frame: pd.DataFrame, shares: Shares, seed: int) -> dict[str, str]:
    """Place the groups that have no split yet, in the order of their hash."""
    totals = Counter(frame["label"])
    placed = _sizes(frame.dropna(subset=["split"]), "label", "split")
    groups = _sizes(frame[frame["split"].isna()], "group", "label")
    count = {label: {name: placed[label].get(name, 0) for name in SPLITS} for label in totals}
    target = {label: {name: getattr(shares, name) * n for name in SPLITS} for label, n in totals.items()}
    waiting = Counter(label for sizes in groups.values() for label in sizes)

    def need(name: str, sizes: Counts) -> tuple[int, float]:
        urgent, lack = 0, 0.0
        for label, size in sizes.items():
            has = count[label]
            # As many groups of a class wait as splits have none of it: this one goes to one of those.
            urgent += has[name] == 0 and waiting[label] <= list(has.values()).count(0)
            lack += size * (target[label][name] - has[name])
        return urgent, lack

    place: dict[str, str] = {}
    for group in sorted(groups, key=lambda name: _hash(name, seed)):
        sizes = groups[group]
        chosen = max(SPLITS, key=partial(need, sizes=sizes))
        place[group] = chosen
        for label, size in sizes.items():
            count[label][chosen] += size
            waiting[label] -= 1
    return place


def _hash(name: str, seed: int) -> bytes:
    return hashlib.blake2b(
        name.encode(), digest_size=16, salt=seed.to_bytes(16, "little", signed=True)
    ).digest()


@step
def split(
    dataset: ImageDataset | None,
    previous: Splits | None,
    settings: SplitSettings,
    code: str,  # the digest of the code: ZenML's cache does not see the modules that a step imports
) -> Annotated[Splits | None, "splits"]:
    """Split an accepted dataset, growing from the previous splits; nothing for a refused one."""
    if dataset is None:
        return None
    splits = assign_splits(dataset.index, previous=previous, shares=settings.shares, seed=settings.seed)
    members = dataset.index[["image_id", "label"]].assign(split=splits)[["image_id", "split", "label"]]
    if previous is None:
        return Splits(members=members)
    placed = pd.concat([previous.remembered, previous.members])
    absent = placed[~placed["image_id"].isin(set(members["image_id"]))].reset_index(drop=True)
    return Splits(members=members, parent=previous.digest, remembered=absent)
