"""Whether the groups of each column that is declared sensitive are treated alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from materializers.evaluation.fairness import Fairness, FairnessColumn
from materializers.report import counted
from steps.evaluation.slices.assess import slice_column
from steps.evaluation.slices.differences import GroupedAnswers, demographic_parity, equalized_odds
from steps.evaluation.slices.groups import MISSING, TOO_FEW, NotGrouped, groups_of
from steps.evaluation.slices.settings import SlicesSettings

if TYPE_CHECKING:
    from steps.evaluation.examined import Examined

NOTHING_DECLARED = (
    "no column is declared sensitive; to declare some: --set evaluate.slices.sensitive='[COLUMN]'"
)


def assess_fairness(examined: Examined, settings: SlicesSettings) -> tuple[Fairness, dict[str, bytes]]:
    """Compare the groups of each sensitive column.

    Args:
        examined: the answers, and the index of the test pictures.
        settings: which columns are sensitive, and how large a group must be.

    Returns:
        The section, and no picture: that of the slices shows the groups. Without a sensitive column nothing
        is assessed; a column that is not there, or makes no groups, is not.
    """
    if not settings.sensitive:
        return Fairness(not_assessed=NOTHING_DECLARED), {}
    columns = {}
    for column in dict.fromkeys(settings.sensitive):
        try:
            columns[column] = assess_column(examined, column, settings)
        except NotGrouped as reason:
            columns[column] = FairnessColumn(not_assessed=str(reason))
    return Fairness(min_n=settings.min_n, min_class_n=settings.min_class_n, columns=columns), {}


def assess_column(examined: Examined, column: str, settings: SlicesSettings) -> FairnessColumn:
    """Compare the groups of one column.

    Pictures without a value are a group of their own; with one other group alone they say nothing.

    Raises:
        NotGrouped: there are no two groups to compare.
    """
    groups = groups_of(examined.rows, column, settings)
    named = [name for name in groups.names if name != MISSING]
    if len(named) == 1:
        raise NotGrouped(
            f"only one group of {column} has {settings.min_n:,} test pictures (evaluate.slices.min_n), "
            f"{named[0]}, beside those without a value"
        )
    sliced = slice_column(examined.predicted == examined.true, groups, settings)
    compared = groups.number != TOO_FEW
    answers = GroupedAnswers(
        true=examined.true[compared],
        predicted=examined.predicted[compared],
        group=groups.number[compared],
        k=len(examined.classes),
        min_class_n=settings.min_class_n,
    )
    resampling = {"resamples": settings.bootstrap_resamples, "seed": settings.seed}
    parity, odds = demographic_parity(answers, **resampling), equalized_odds(answers, **resampling)
    return FairnessColumn(
        groups=sliced.groups,
        too_few=sliced.too_few,
        gap=sliced.gap,
        demographic_parity=parity.metric,
        demographic_parity_class=examined.classes[parity.class_number],
        equalized_odds=odds.metric if odds else None,
        equalized_odds_class=examined.classes[odds.class_number] if odds else None,
        equalized_odds_note=_left_out(answers, examined.classes),
    )


def _left_out(answers: GroupedAnswers, classes: tuple[str, ...]) -> str | None:
    """Which classes the equalised odds say nothing about, and why."""
    without = [
        name
        for number, name in enumerate(classes)
        if len(np.unique(answers.group[answers.with_enough_of(number)])) < 2  # noqa: PLR2004 - to compare takes two
    ]
    if not without:
        return None
    what = "no class" if len(without) == len(classes) else f"not of {', '.join(without)}"
    wanted = counted(answers.min_class_n, "test picture")
    return f"{what}: two groups must have {wanted} of it, and of all others (evaluate.slices.min_class_n)"
