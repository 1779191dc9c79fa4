"""Split pictures into train, validation and test without leaking: a group never spans two splits.

A picture that the previous splits know stays where it was, so that the test set of a later version was never
trained on by an earlier one. Where that cannot be, because two groups turn out to be one, the test pictures
stay and the others are set apart for good.
"""

import hashlib
from math import isclose
from typing import Annotated, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field, model_validator
from zenml import step

from materializers.image_dataset import ImageDataset
from materializers.report import Record
from materializers.split_report import SplitReport
from materializers.splits import APART, SIDES, SPLITS, TEST, TEXT, Splits
from steps.data.checks.capture_times import capture_times, check_capture_times
from steps.data.checks.leakage import check_leakage, check_time_leakage
from steps.data.checks.limits import CheckLimit
from steps.data.checks.shares import check_every_class, check_set_apart, check_shares, check_tested
from steps.data.golden import check_golden_list, golden_members
from steps.data.groups import Groups, connected
from steps.data.split_by_time import NONE, place_by_time
from steps.data.split_reporting import By, counts_of, known_sides, report_splits, report_unsplit


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

    by: By = "groups"
    shares: Shares = Shares()
    seed: int = 0
    golden_share: float = Field(default=0.2, ge=0, le=1)
    """Of the first test split, frozen for good."""
    golden_list: tuple[str, ...] = ()
    """Pictures to freeze instead of a share; split by groups, they and their groups are for testing."""
    set_apart: CheckLimit = CheckLimit(limit=0.05, severity="refuse")
    """Share of the pictures that may be set apart."""
    classes_in_every_split: CheckLimit = CheckLimit(limit=0, severity="refuse")
    """How many times a class may have no picture in a split."""
    split_shares: CheckLimit = CheckLimit(limit=0.01, severity="warn")
    """How far a share may be from its configured one, in a class of at least 1,000 pictures."""


def assign_splits(
    index: pd.DataFrame,
    *,
    previous: Splits | None,
    shares: Shares,
    seed: int,
    by: By = "groups",
    tested: tuple[str, ...] = (),
) -> pd.Series:
    """Give every picture a split, keeping groups together and each class's shares.

    What the previous splits know stays. When a group has known pictures in several splits, those of the
    highest claim stay (test before validation before train) and the others are set apart, for good. New
    pictures of a known group go where it is. New groups follow in the order of the hash of their name, each
    to the split that lacks most of its class; or, by time, each to the split of its time.

    Args:
        index: one row a picture; columns ``image_id``, ``label``, and any of ``group``, ``cluster``,
            ``source_digest``; by time ``captured_at``, in every row. The order of rows has no effect.
        previous: the splits that these grow from.
        shares: fractions that sum to 1.
        seed: same index, previous and seed, same splits.
        by: groups or time.
        tested: pictures that go to test with their groups, where these are new and not split by time.

    Returns:
        ``train``, ``validation``, ``test`` or ``set_apart`` for each row, with the index of ``index``. By
        groups, a class of at least three new groups has a picture in every split.
    """
    groups, sides = connected(index), known_sides(index, previous)
    homes = _homes(groups, sides)
    moved = (sides != NONE) & (sides != homes[groups.codes])
    sides[moved] = SIDES.index(APART)
    if by == "time":
        times = capture_times(index).to_numpy(dtype="datetime64[ns]").astype(np.int64)
        sides = place_by_time(times, groups.codes, sides, homes, shares.model_dump())
    else:
        wanted = index["image_id"].isin(tested).to_numpy(dtype=bool)
        chosen = groups.codes[wanted]
        homes[chosen[homes[chosen] == NONE]] = SIDES.index(TEST)
        sides = np.where(sides == NONE, homes[groups.codes], sides)
        _fill(groups, index["label"], sides, shares, seed)
    return pd.Series(np.array(SIDES, dtype=object)[sides], index=index.index, dtype=TEXT)


def _homes(groups: Groups, sides: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """The side that each group is on: of several the one with the highest claim, -1 for a new group."""
    homes = np.full(len(groups.names), NONE, dtype=np.int8)
    for side in (APART, *SPLITS):  # the later one stands
        code = SIDES.index(side)
        homes[groups.codes[sides == code]] = code
    return homes


def _fill(groups: Groups, label: pd.Series, sides: npt.NDArray[np.int8], shares: Shares, seed: int) -> None:
    """Place the groups that have no side yet, in the order of their hash; writes into ``sides``."""
    labels, names = pd.factorize(label, sort=True)
    labels = labels.astype(np.int64)
    new, classes_count = sides == NONE, max(len(names), 1)
    placed = np.bincount(labels[~new] * len(SIDES) + sides[~new], minlength=classes_count * len(SIDES))
    count = placed.reshape(classes_count, len(SIDES))[:, : len(SPLITS)].tolist()
    totals = np.bincount(labels[sides != SIDES.index(APART)], minlength=classes_count).tolist()
    target = [[getattr(shares, name) * total for name in SPLITS] for total in totals]
    pairs, sizes = np.unique(groups.codes[new] * classes_count + labels[new], return_counts=True)
    owners, classes = np.divmod(pairs, classes_count)
    waiting = np.bincount(classes, minlength=classes_count).tolist()
    groups_left, starts = np.unique(owners, return_index=True)
    bounds = [*starts.tolist(), len(owners)]
    entries = list(zip(classes.tolist(), sizes.tolist(), strict=True))
    hashes = [_hash(name, seed) for name in groups.names[groups_left]]
    place = np.empty(len(groups.names), dtype=np.int8)
    splits = range(len(SPLITS))
    for position in sorted(range(len(hashes)), key=hashes.__getitem__):
        parts = entries[bounds[position] : bounds[position + 1]]
        needs = [[0, 0.0] for _ in splits]
        for class_, size in parts:
            has, aim = count[class_], target[class_]
            # As many groups of a class wait as splits have none of it: this one goes to one of those.
            last_chance = waiting[class_] <= has.count(0)
            for split_, need in zip(splits, needs, strict=True):
                need[0] += last_chance and has[split_] == 0
                need[1] += size * (aim[split_] - has[split_])
        chosen = max(splits, key=needs.__getitem__)
        place[groups_left[position]] = chosen
        for class_, size in parts:
            count[class_][chosen] += size
            waiting[class_] -= 1
    sides[new] = place[groups.codes[new]]


def _hash(name: str, seed: int) -> bytes:
    return hashlib.blake2b(
        name.encode(), digest_size=16, salt=seed.to_bytes(16, "little", signed=True)
    ).digest()


def split_dataset(
    index: pd.DataFrame,
    version: str,
    previous: Splits | None,
    settings: SplitSettings,
    *,
    min_tested: int = 0,
) -> tuple[Splits | None, SplitReport]:
    """Split, check what came of it, and report.

    Args:
        index: the dataset's index.
        version: the dataset's version.
        previous: the splits that these grow from.
        settings: how to split, and the limits.
        min_tested: pictures for testing without which no model could pass the gate.

    Returns:
        The splits, none when a check refused them, and the report.
    """
    dated = [check_capture_times(index)] if settings.by == "time" else []
    if any(check.refuses for check in dated):
        return None, report_unsplit(index, version, previous, settings, dated)
    frozen_before = previous is not None and len(previous.frozen) > 0
    sides = assign_splits(
        index,
        previous=previous,
        shares=settings.shares,
        seed=settings.seed,
        by=settings.by,
        tested=() if frozen_before else settings.golden_list,
    )
    members = golden_members(
        index[["image_id", "label"]].assign(split=sides),
        previous,
        share=settings.golden_share,
        chosen=settings.golden_list,
        hashed=lambda image_id: _hash(image_id, settings.seed),
    )
    splits = _grown(members, previous)
    checks = [*dated, *check_leakage(index, splits)]
    if settings.by == "time":
        checks.append(check_time_leakage(index, splits))
    counts = counts_of(index, splits)
    # Time cuts all classes at once, so that only the shares of the whole can be as configured.
    compared = counts if settings.by == "groups" else counts.sum().to_frame("all classes").T
    checks += [
        check_every_class(counts, settings.classes_in_every_split),
        check_set_apart(counts, settings.set_apart),
        check_shares(compared, settings.shares.model_dump(), settings.split_shares),
    ]
    if min_tested:
        checks.append(check_tested(counts, min_tested))
    if settings.golden_list:
        checks.append(check_golden_list(splits, previous, settings.golden_list))
    report = report_splits(index, version, previous, settings, splits, checks)
    return splits if report.outcome == "passed" else None, report


def _grown(members: pd.DataFrame, previous: Splits | None) -> Splits:
    """Splits that remember where pictures are that this dataset lacks."""
    if previous is None:
        return Splits(members=members)
    known = previous.known
    # Of a million ids, three times as fast as isin.
    places = pd.Index(members["image_id"]).get_indexer(pd.Index(known["image_id"]))
    return Splits(members=members, parent=previous.digest, remembered=known[places < 0])


@step
def split(
    dataset: ImageDataset | None,
    previous: Splits | None,
    settings: SplitSettings,
    min_tested: int,
    code: str,  # the digest of the code: ZenML's cache does not see the modules that a step imports
) -> tuple[Annotated[Splits | None, "splits"], Annotated[SplitReport | None, "split_report"]]:
    """Split an accepted dataset, growing from the previous splits; nothing for a refused one."""
    if dataset is None:
        return None, None
    return split_dataset(dataset.index, dataset.version, previous, settings, min_tested=min_tested)
