"""Whether the data has the columns whose groups are to be treated alike, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from materializers.data_report import Check
from steps.data.checks.judging import judged
from steps.data.checks.limits import CheckLimit
from steps.evaluation.slices.groups import PROPERTIES, own_columns


def check_sensitive_columns(index: pd.DataFrame, columns: Sequence[str], limit: CheckLimit) -> list[Check]:
    """Whether each sensitive column is there and has two groups at least; without one there is no check.

    Args:
        index: one row a picture, with the columns that deliveries brought.
        columns: those that are declared sensitive, or properties of the pictures themselves.
        limit: how many of them may be lacking.
    """
    if not columns:
        return []
    faults = [fault for column in columns if (fault := _fault(index, column)) is not None]
    reason = (
        f"{'; '.join(faults)}: no gap between groups could be judged."
        if faults
        else "Each sensitive column has two groups at least."
    )
    there = ", ".join(own_columns(index)) or "none"
    mend = (
        f"labels.csv has these columns beside those of every delivery: {there}. Correct "
        "evaluate.slices.sensitive, or deliver the column."
    )
    return [judged("sensitive_columns", len(faults), limit, "at most", reason, mend)]


def _fault(index: pd.DataFrame, column: str) -> str | None:
    """Why a column makes no groups; None where it makes some."""
    if column in PROPERTIES:
        return None
    if column not in index:
        return f"labels.csv has no column {column}, which is declared sensitive"
    values = index[column].dropna().unique()
    if len(values) > 1:
        return None
    held = f"the one value {values[0]!r}" if len(values) else "no value"
    return f"column {column}, which is declared sensitive, holds {held}"
