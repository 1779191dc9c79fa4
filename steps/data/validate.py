"""Check a delivery before anyone trains on it: each check says what was measured, the limit and the mend.

A refusal is a result: the report says why, and there is no dataset.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Literal

import pandas as pd
from pydantic import Field
from zenml import step

from materializers.data_report import Check, DataReport, Screening, SetAside
from materializers.image_dataset import THUMBNAILS_PER_CLASS, ImageDataset, thumbnail_sheet
from materializers.report import Record
from steps.data.labels import NEEDED
from steps.data.split import groups_of

Outcome = Literal["passed", "refused", "warned"]

DELIVER = "Deliver more pictures: python run.py --train --source PATH"
CORRECT = "Correct the delivery"


class ValidateSettings(Record):
    """What is asked of a delivery; shares are of the delivery's rows."""

    min_rows: int = Field(default=100, ge=1)
    max_set_aside_share: float = Field(default=0.05, ge=0, le=1)
    max_unknown_share: float = Field(default=0.05, ge=0, le=1)
    max_missing_share: float = Field(default=0.10, ge=0, le=1)
    """Of a column that may be empty; reaching it warns."""
    min_per_class: int = Field(default=7, ge=1)  # the fewest of which 15 %, a test split, is a whole picture
    min_groups_per_class: int = Field(default=3, ge=3)  # one a split


def check_delivery(
    delivery: ImageDataset, screening: Screening, classes: Sequence[str], settings: ValidateSettings
) -> tuple[ImageDataset, DataReport]:
    """Set the pictures of unknown classes aside, and check the rest as a whole.

    Args:
        delivery: the usable pictures, with those of the parent dataset when it was joined.
        screening: what reading the delivery found.
        classes: the configured classes.
        settings: the limits.

    Returns:
        The pictures of known classes, and the report; whoever trains obeys its ``outcome``.
    """
    known = delivery.index["label"].isin(list(classes))
    unknown = delivery.index[~known]
    accepted = delivery if known.all() else delivery.select(delivery.index.loc[known, "image_id"])
    set_aside = (*screening.set_aside, *_unknown_labels(unknown, classes))
    index = accepted.index
    per_class = {name: int((index["label"] == name).sum()) for name in classes}
    checks = (
        _rows(index, settings),
        _needed_values(index),
        _set_aside(screening, settings),
        _unknown(unknown, screening, settings),
        _classes_present(per_class),
        _several_classes(per_class),
        _pictures_per_class(per_class, settings),
        _groups_per_class(index, settings),
        _groups_of_one_label(index),
        _conflicts(screening),
        *_optional_columns(screening, settings),
        _times(index),
    )
    report = DataReport(
        outcome="refused" if any(check.outcome == "refused" for check in checks) else "passed",
        source_name=screening.source_name,
        data=accepted.version,
        rows=screening.rows,
        accepted=len(accepted),
        per_class=per_class,
        checks=checks,
        set_aside=set_aside,
        duplicates=screening.duplicate_rows,
    )
    return accepted, report


def sheets(accepted: ImageDataset, delivery: ImageDataset, screening: Screening) -> dict[str, bytes]:
    """A sheet of thumbnails (PNG) of each class and of what was set aside and can be shown, by title."""
    first = accepted.index.groupby("label").head(THUMBNAILS_PER_CLASS)
    some = accepted.select(first["image_id"])
    pictures = {}
    for number, (label, rows) in enumerate(some.index.groupby("label"), 1):
        name = re.sub(r"[^\w -]", "_", str(label))  # a title is a file's name too
        pictures[f"{number:02d} {name}"] = thumbnail_sheet(some.select(rows["image_id"]))
    unknown = delivery.index[~delivery.index["image_id"].isin(accepted.index["image_id"])]
    if len(unknown):
        pictures["unknown labels"] = thumbnail_sheet(delivery.select(unknown["image_id"].head(100)))
    return pictures | screening.pictures


def _check(name: str, measured: float, limit: float, outcome: Outcome, reason: str, mend: str) -> Check:
    """A check; the mend is said when it did not pass."""
    said = reason if outcome == "passed" else f"{reason} {mend}"
    return Check(name=name, outcome=outcome, measured=measured, limit=limit, reason=said)


def _rows(index: pd.DataFrame, settings: ValidateSettings) -> Check:
    reason = f"{len(index):,} pictures can be used; at least {settings.min_rows:,} are needed."
    outcome: Outcome = "passed" if len(index) >= settings.min_rows else "refused"
    return _check("rows", len(index), settings.min_rows, outcome, reason, f"{DELIVER}.")


def _needed_values(index: pd.DataFrame) -> Check:
    missing = int(index["label"].isna().sum() + index["source"].isna().sum())
    reason = f"{missing:,} pictures in the dataset have no label or path; 0 may."
    outcome: Outcome = "refused" if missing else "passed"
    return _check("needed_values", missing, 0, outcome, reason, f"{CORRECT}.")


def _set_aside(screening: Screening, settings: ValidateSettings) -> Check:
    """What could not be used, whatever its label; unknown labels have a check of their own."""
    set_aside = screening.set_aside
    share, limit = len(set_aside) / screening.rows, settings.max_set_aside_share
    counts = pd.Series([each.reason for each in set_aside], dtype=str).value_counts()
    reasons = ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"
    reason = (
        f"{len(set_aside):,} pictures are set aside ({reasons}): {share:.1%} of the delivery's "
        f"{screening.rows:,} rows; at most {limit:.1%} may be."
    )
    outcome: Outcome = "refused" if share > limit else "passed"
    return _check(
        "set_aside", share, limit, outcome, reason, f"{CORRECT}, or raise validate.max_set_aside_share."
    )


def _unknown(unknown: pd.DataFrame, screening: Screening, settings: ValidateSettings) -> Check:
    share, limit = len(unknown) / screening.rows, settings.max_unknown_share
    names = ", ".join(sorted(unknown["label"].astype(str).unique())[:10])
    labels = f" ({names})" if names else ""
    reason = (
        f"{len(unknown):,} pictures have a label that is not configured{labels}: {share:.1%} of the "
        f"delivery's {screening.rows:,} rows; at most {limit:.1%} may."
    )
    outcome: Outcome = "refused" if share > limit else "passed"
    mend = f"{CORRECT}, add the label to classes, or raise validate.max_unknown_share."
    return _check("unknown_labels", share, limit, outcome, reason, mend)


def _classes_present(per_class: dict[str, int]) -> Check:
    absent = [name for name, count in per_class.items() if not count]
    named = f" (missing: {', '.join(absent)})" if absent else ""
    present = len(per_class) - len(absent)
    reason = f"{present} of {len(per_class)} configured classes have pictures{named}; all must."
    outcome: Outcome = "refused" if absent else "passed"
    mend = f"{DELIVER}, or take the class out of classes."
    return _check("classes_present", present, len(per_class), outcome, reason, mend)


def _several_classes(per_class: dict[str, int]) -> Check:
    present = sum(count > 0 for count in per_class.values())
    reason = f"{present} classes have pictures; at least 2 are needed to tell apart."
    outcome: Outcome = "passed" if present > 1 else "refused"
    return _check("several_classes", present, 2, outcome, reason, f"{DELIVER}.")


def _pictures_per_class(per_class: dict[str, int], settings: ValidateSettings) -> Check:
    limit = settings.min_per_class
    few = {name: count for name, count in per_class.items() if 0 < count < limit}
    return _each_class("pictures_per_class", "pictures", per_class, few, limit)


def _groups_per_class(index: pd.DataFrame, settings: ValidateSettings) -> Check:
    limit = settings.min_groups_per_class
    groups = {
        str(name): int(count) for name, count in groups_of(index).groupby(index["label"]).nunique().items()
    }
    few = {name: count for name, count in groups.items() if count < limit}
    return _each_class("groups_per_class", "groups", groups, few, limit)


def _each_class(name: str, what: str, counts: dict[str, int], few: dict[str, int], limit: int) -> Check:
    least = min((count for count in counts.values() if count), default=0)
    named = ", ".join(f"{label} has {count}" for label, count in few.items()) or f"the fewest are {least:,}"
    reason = f"Every class needs at least {limit:,} {what}; {named}."
    return _check(name, least, limit, "refused" if few else "passed", reason, f"{DELIVER}.")


def _groups_of_one_label(index: pd.DataFrame) -> Check:
    named = index.dropna(subset=["group"])
    labels = named.groupby("group")["label"].nunique()
    mixed = [str(name) for name in labels[labels > 1].index]
    shown = f" ({', '.join(mixed[:5])})" if mixed else ""
    reason = f"{len(mixed):,} groups have pictures of more than one label{shown}."
    mend = "Look at them: a group is one product."
    return _check("groups_of_one_label", len(mixed), 0, "warned" if mixed else "passed", reason, mend)


def _conflicts(screening: Screening) -> Check:
    paths = screening.conflicts
    shown = f" ({', '.join(paths[:5])})" if paths else ""
    reason = (
        f"{len(paths):,} rows give a picture another label than an earlier row{shown}; the later row stands."
    )
    mend = "Remove one of the two rows."
    return _check("label_conflicts", len(paths), 0, "warned" if paths else "passed", reason, mend)


def _optional_columns(screening: Screening, settings: ValidateSettings) -> list[Check]:
    limit = settings.max_missing_share
    checks = []
    for name, missing in screening.missing_values.items():
        if name in NEEDED:
            continue
        share = missing / screening.rows
        reason = (
            f"Column {name} has no value in {missing:,} rows, {share:.1%}; under {limit:.1%} is expected."
        )
        outcome: Outcome = "warned" if share >= limit else "passed"
        checks.append(
            _check(f"missing_values: {name}", share, limit, outcome, reason, "Fill it in labels.csv.")
        )
    return checks


def _times(index: pd.DataFrame) -> Check:
    given = index["captured_at"].dropna().astype(str)
    read = pd.to_datetime(given, format="ISO8601", errors="coerce", utc=True)
    wrong = given[read.isna()]
    shown = f" (such as {wrong.iloc[0]!r})" if len(wrong) else ""
    reason = f"{len(wrong):,} values of captured_at are no ISO 8601 time{shown}."
    mend = "Write them like 2026-11-21T14:00:00Z."
    return _check("captured_at", len(wrong), 0, "warned" if len(wrong) else "passed", reason, mend)


@step
def validate(
    delivery: ImageDataset,
    screening: Screening,
    classes: list[str],
    settings: ValidateSettings,
    code: str,  # the digest of the code: ZenML's cache does not see the modules that a step imports
) -> tuple[Annotated[ImageDataset | None, "dataset"], Annotated[DataReport, "data_report"]]:
    """Check the delivery; a refused one has a report and no dataset."""
    accepted, report = check_delivery(delivery, screening, classes, settings)
    report = report.with_pictures(sheets(accepted, delivery, screening))
    return accepted if report.outcome == "passed" else None, report


def _unknown_labels(unknown: pd.DataFrame, classes: Sequence[str]) -> list[SetAside]:
    detail = f"the label is none of {', '.join(classes)}"
    return [
        SetAside(path=str(source).partition("/")[2], label=str(label), reason="unknown_label", detail=detail)
        for source, label in unknown[["source", "label"]].itertuples(index=False, name=None)
    ]
