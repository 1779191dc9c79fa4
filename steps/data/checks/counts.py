"""Whether there is enough of everything: rows, values, pictures and groups of each class.

Shares are of the delivery's rows, so that a small delivery cannot hide in the dataset that it joins.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from materializers.data_report import Check, Screening
from materializers.report import counted
from steps.data.checks.judging import judged
from steps.data.checks.limits import CheckLimit
from steps.data.groups import groups_of
from steps.data.labels import NEEDED
from steps.data.screening import FORGOTTEN

DELIVER = "Deliver more pictures: python run.py --train --source PATH"
CORRECT = "Correct the delivery"
SHOWN = 5
LABELS_SHOWN = 10
NOT_ONE = CheckLimit(limit=0, severity="warn")


def check_rows(index: pd.DataFrame, bound: CheckLimit) -> Check:
    """Whether there are pictures enough at all."""
    reason = f"{counted(len(index), 'picture')} can be used; at least {bound.limit:,.0f} are needed."
    return judged("rows", len(index), bound, "at least", reason, f"{DELIVER}.")


def check_needed_values(index: pd.DataFrame, bound: CheckLimit) -> Check:
    """Whether every picture has a label and a path."""
    missing = int(index["label"].isna().sum() + index["source"].isna().sum())
    reason = f"{counted(missing, 'picture')} in the dataset without label or path; {bound.limit:,.0f} may be."
    return judged("needed_values", missing, bound, "at most", reason, f"{CORRECT}.")


def check_set_aside(screening: Screening, bound: CheckLimit) -> Check:
    """How much of the delivery could not be used; unknown labels have a check of their own.

    A picture that was forgotten is no fault of the delivery: it counts neither among those that are set aside
    nor among the rows.
    """
    set_aside = [each for each in screening.set_aside if each.reason != FORGOTTEN]
    forgotten = len(screening.set_aside) - len(set_aside)
    rows = screening.rows - forgotten
    share = _share(len(set_aside), rows)
    counts = pd.Series([each.reason for each in set_aside], dtype=str).value_counts()
    reasons = ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"
    reason = (
        f"{counted(len(set_aside), 'picture')} set aside ({reasons}): {share:.1%} of the delivery's "
        f"{counted(rows, 'row')}; at most {bound.limit:.1%} may be."
    )
    if forgotten:
        reason += f" Not counted: {counted(forgotten, 'forgotten picture')}."
    mend = f"{CORRECT}, or raise validate.set_aside.limit."
    return judged("set_aside", share, bound, "at most", reason, mend)


def check_unknown_labels(unknown: pd.DataFrame, screening: Screening, bound: CheckLimit) -> Check:
    """How many pictures have a label that nobody configured.

    Args:
        unknown: a row for each of them; column ``label``.
        screening: of the delivery that they came with.
        bound: the share of the delivery's rows that may.
    """
    share = _share(len(unknown), screening.rows)
    names = ", ".join(sorted(unknown["label"].astype(str).unique())[:LABELS_SHOWN])
    labels = f" ({names})" if names else ""
    reason = (
        f"{counted(len(unknown), 'picture')} with a label that is not configured{labels}: {share:.1%} of the "
        f"delivery's {counted(screening.rows, 'row')}; at most {bound.limit:.1%} may be."
    )
    mend = f"{CORRECT}, add the label to product.classes, or raise validate.unknown_labels.limit."
    return judged("unknown_labels", share, bound, "at most", reason, mend)


def check_stored_labels(left_out: pd.Series, again: str) -> Check:
    """Whether stored pictures are left out for a class that nobody configured (any more); it never refuses.

    Args:
        left_out: the label of each.
        again: the command that brings them back once their class is configured.
    """
    names = ", ".join(sorted(left_out.astype(str).unique())[:LABELS_SHOWN])
    classes = f" ({names})" if names else ""
    reason = (
        f"{counted(len(left_out), 'stored picture')} left out, of a class that is not configured{classes}; "
        "0 is expected."
    )
    mend = (
        f"Name the class in product.classes to learn from them, and type {again}; or name it in "
        "product.class_changes.retired to give them up."
    )
    return judged("stored_labels", len(left_out), NOT_ONE, "at most", reason, mend)


def check_absent_classes(per_class: Mapping[str, int], bound: CheckLimit) -> Check:
    """Whether every configured class has pictures."""
    absent = [name for name, count in per_class.items() if not count]
    named = f" (missing: {', '.join(absent)})" if absent else ""
    present = len(per_class) - len(absent)
    reason = (
        f"Pictures of {present} of {len(per_class)} configured classes{named}; of all there must be some."
    )
    mend = f"{DELIVER}, or take the class out of product.classes."
    return judged("absent_classes", len(absent), bound, "at most", reason, mend)


def check_several_classes(per_class: Mapping[str, int], bound: CheckLimit) -> Check:
    """Whether there is anything to tell apart."""
    present = sum(count > 0 for count in per_class.values())
    reason = f"Classes with pictures: {present}; at least {bound.limit:,.0f} are needed to tell apart."
    return judged("several_classes", present, bound, "at least", reason, f"{DELIVER}.")


def check_pictures_per_class(per_class: Mapping[str, int], bound: CheckLimit) -> Check:
    """Whether every class that has pictures has enough."""
    return _each_class("pictures_per_class", "pictures", per_class, bound)


def check_groups_per_class(index: pd.DataFrame, bound: CheckLimit) -> Check:
    """Whether every class has groups enough to be in every split; a picture without a group is its own."""
    groups = {
        str(name): int(count) for name, count in groups_of(index).groupby(index["label"]).nunique().items()
    }
    return _each_class("groups_per_class", "groups", groups, bound)


def check_class_balance(per_class: Mapping[str, int], bound: CheckLimit) -> Check:
    """How many times the largest class has the pictures of the smallest that has any."""
    counts = {name: count for name, count in per_class.items() if count}
    if not counts:
        return judged("class_balance", 1, bound, "at most", "No class has pictures.", f"{DELIVER}.")
    largest, smallest = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    ratio = counts[largest] / counts[smallest]
    pictures = counted(counts[largest], "picture")
    compared = (
        f"Each class has {pictures}"
        if ratio == 1
        else f"{largest} has {pictures}, {smallest} {counts[smallest]:,}: {ratio:,.1f} times as many"
    )
    reason = f"{compared}; at most {bound.limit:,.1f} times is expected."
    mend = f"Deliver more pictures of {smallest}, or raise validate.class_balance.limit."
    return judged("class_balance", ratio, bound, "at most", reason, mend)


def check_groups_of_one_label(index: pd.DataFrame, bound: CheckLimit) -> Check:
    """Whether the pictures of each group have one label."""
    named = index.dropna(subset=["group"])
    labels = named.groupby("group")["label"].nunique()
    mixed = [str(name) for name in labels[labels > 1].index]
    shown = f" ({', '.join(mixed[:SHOWN])})" if mixed else ""
    reason = (
        f"{counted(len(mixed), 'group')} with pictures of more than one label{shown}; "
        f"{bound.limit:,.0f} may be."
    )
    mend = "Look at them: a group is one product."
    return judged("groups_of_one_label", len(mixed), bound, "at most", reason, mend)


def check_label_conflicts(screening: Screening, bound: CheckLimit) -> Check:
    """Whether the delivery gives a picture two labels."""
    paths = screening.conflicts
    shown = f" ({', '.join(paths[:SHOWN])})" if paths else ""
    reason = (
        f"{counted(len(paths), 'row')} with another label for a picture than an earlier row has{shown}; the "
        f"later row stands; {bound.limit:,.0f} may be."
    )
    return judged("label_conflicts", len(paths), bound, "at most", reason, "Remove one of the two rows.")


def check_unknown_pictures(screening: Screening, bound: CheckLimit) -> Check:
    """Whether the delivery corrects or withdraws pictures that no earlier one brought."""
    changes = screening.changes
    shown = f" ({changes.first_unknown})" if changes.unknown else ""
    reason = (
        f"No stored picture matches {len(changes.unknown):,} of {counted(changes.rows, 'correction')}"
        f"{shown}; {bound.limit:,.0f} may be without."
    )
    mend = (
        "Name pictures by their image_id, as the index of the dataset has it, or by the image_path of their "
        "delivery, and deliver with --continuous, which joins to what is stored."
    )
    return judged("unknown_pictures", len(changes.unknown), bound, "at most", reason, mend)


def check_missing_values(screening: Screening, bound: CheckLimit) -> list[Check]:
    """How many rows have no value, for each column that need not have one."""
    checks = []
    for name, missing in screening.missing_values.items():
        if name in NEEDED:
            continue
        share = _share(missing, screening.rows)
        reason = (
            f"Column {name} has no value in {counted(missing, 'row')}, {share:.1%}; under "
            f"{bound.limit:.1%} is expected."
        )
        mend = "Fill it in labels.csv, or raise validate.missing_values.limit."
        checks.append(judged(f"missing_values: {name}", share, bound, "under", reason, mend))
    return checks


def _share(part: int, rows: int) -> float:
    """Of nothing at all a part is everything."""
    return part / rows if rows else float(part > 0)


def _each_class(name: str, what: str, counts: Mapping[str, int], bound: CheckLimit) -> Check:
    present = {label: count for label, count in counts.items() if count}
    few = {label: count for label, count in present.items() if count < bound.limit}
    least = min(present.values(), default=0)
    named = ", ".join(f"{label} has {count:,}" for label, count in few.items())
    reason = f"Every class needs at least {bound.limit:,.0f} {what}; {named or f'the fewest are {least:,}'}."
    return judged(name, least, bound, "at least", reason, f"{DELIVER}.")
