"""The accuracy of every group as a small PNG."""

from __future__ import annotations

from collections.abc import Mapping

from materializers.evaluation.metric import Metric
from materializers.picture_sheet import encode_chart
from materializers.report import counted

MOST_SHOWN = 40
"""Groups in one picture; more cannot be read."""
LONGEST_NAME = 40
"""Characters of a group's name."""
SURE, UNSURE = "tab:red", "tab:blue"


def slices_picture(columns: Mapping[str, Mapping[str, Metric]], accuracy: float) -> bytes:
    """A dot a group with its 95 % interval, column by column, beside the accuracy of all.

    Args:
        columns: of each column the accuracy of its groups; columns that have no room any more are counted.
        accuracy: of all test pictures.

    Returns:
        A PNG. A group whose interval lies below the accuracy of all is red.
    """
    from matplotlib.figure import Figure

    shown = _with_room(columns)
    rows = sum(len(groups) + 1 for groups in shown.values())
    figure = Figure(figsize=(7, 1.0 + 0.24 * rows), layout="constrained")
    axes = figure.subplots()
    names: list[str] = []
    headings = []
    for column, groups in shown.items():
        headings.append(len(names))
        names.append(_short(column))
        for group, metric in groups.items():
            row = len(names)
            names.append(f"{_short(group)} (n = {metric.n:,})")
            low, value, high = (
                0.0 if each is None else each for each in (metric.low, metric.value, metric.high)
            )
            colour = SURE if high < accuracy else UNSURE
            axes.errorbar(value, row, xerr=[[value - low], [high - value]], fmt="o", color=colour, capsize=2)
    axes.axvline(accuracy, color="grey", linestyle=":", label=f"all test pictures: {accuracy:.3f}")
    axes.set_yticks(range(len(names)), names, fontsize="small", parse_math=False)  # a $ in a name is a $
    for heading in headings:
        axes.get_yticklabels()[heading].set_fontweight("bold")
    title = "Accuracy by group, 95 % intervals"
    if more := len(columns) - len(shown):
        title += f"\n({counted(more, 'more column')} in the table)"
    axes.set(ylim=(len(names) - 0.5, -0.5), xlabel="accuracy", title=title)
    axes.legend(fontsize="small", loc="best")
    return encode_chart(figure)


def _with_room(columns: Mapping[str, Mapping[str, Metric]]) -> dict[str, Mapping[str, Metric]]:
    room, shown = MOST_SHOWN, {}
    for column, groups in columns.items():
        if len(groups) <= room:
            shown[column] = groups
            room -= len(groups)
    return shown


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
