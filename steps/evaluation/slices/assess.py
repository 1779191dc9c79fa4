"""The accuracy of each group of test pictures, the worst group, and how far the groups are apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from materializers.evaluation.slices import SlicedColumn, Slices
from steps.evaluation.intervals import wilson
from steps.evaluation.slices.gap import gap_metric
from steps.evaluation.slices.groups import Groups, NotGrouped, groups_of, own_columns
from steps.evaluation.slices.pictures import slices_picture
from steps.evaluation.slices.settings import SlicesSettings

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from steps.evaluation.examined import Examined

PICTURE = "slices"


def assess_slices(examined: Examined, settings: SlicesSettings) -> tuple[Slices, dict[str, bytes]]:
    """Compare the groups of every column that is asked for, or that offers itself.

    Args:
        examined: the answers, and the index of the test pictures.
        settings: which columns, and how large a group must be.

    Returns:
        The section, and a chart of it under the name ``slices``. A column that was asked for and makes no
        groups is not assessed; one that was not is left out, with the reason.
    """
    rows = examined.rows
    right = examined.predicted == examined.true
    columns: dict[str, SlicedColumn] = {}
    left_out: dict[str, str] = {}
    asked = {*settings.columns, *settings.quarters}
    for column in candidates(rows, settings):
        try:
            columns[column] = slice_column(right, groups_of(rows, column, settings), settings)
        except NotGrouped as reason:
            if column in asked:
                columns[column] = SlicedColumn(not_assessed=str(reason))
            else:
                left_out[column] = str(reason)
    nothing = None
    if not columns:
        nothing = "nothing groups the test pictures; a column of labels.csv with 2 to 20 values would"
    section = Slices(not_assessed=nothing, min_n=settings.min_n, columns=columns, left_out=left_out)
    shown = {name: column.groups for name, column in columns.items() if column.groups}
    return section, {PICTURE: slices_picture(shown, float(right.mean()))} if shown else {}


def candidates(rows: pd.DataFrame, settings: SlicesSettings) -> list[str]:
    """The columns that are tried, each once: those that are asked for, or else those of ``labels.csv``."""
    of_labels = settings.columns or own_columns(rows)
    return list(dict.fromkeys([*settings.sensitive, *of_labels, *settings.quarters, *settings.properties]))


def slice_column(right: NDArray[np.bool_], groups: Groups, settings: SlicesSettings) -> SlicedColumn:
    """The accuracy of each group.

    Args:
        right: ``(n,)``, whether each answer is.
        groups: of the n pictures.
        settings: resamples and seed of the gap's interval.
    """
    counts, sizes = groups.count(right), groups.sizes
    return SlicedColumn(
        groups={
            name: wilson(int(count), int(size))
            for name, count, size in zip(groups.names, counts, sizes, strict=True)
        },
        too_few=groups.too_few,
        worst=groups.names[int(np.argmin(counts / sizes))],
        gap=gap_metric(counts, sizes, resamples=settings.bootstrap_resamples, seed=settings.seed),
    )
