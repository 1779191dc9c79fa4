"""Group test pictures by a column of ``labels.csv`` or by a property of the pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray

from materializers.image_index import INDEX_COLUMNS
from materializers.report import number
from steps.evaluation.slices.settings import Property, SlicesSettings

if TYPE_CHECKING:
    import pandas as pd

MISSING = "(missing)"
"""The group of the pictures without a value."""
PROPERTIES: tuple[str, ...] = get_args(Property)
PICTURE_SIZE, BRIGHTNESS, SOURCE = PROPERTIES
THIRDS, QUARTERS = 3, 4
LONGEST_NAME = 200
"""Characters of a value that is shown as a group's name."""
TOO_FEW = -1
"""The number of a picture whose group is not compared."""


class NotGrouped(ValueError):
    """A column that makes no groups to compare; the message is the reason, one sentence."""


@dataclass(frozen=True)
class Groups:
    """The groups of one column that have enough test pictures.

    Args:
        names: the g groups, sorted; two at least.
        number: ``(n,)`` int64, which of them each picture is in, or ``TOO_FEW``.
        too_few: how many pictures each of the other groups has.
    """

    names: tuple[str, ...]
    number: NDArray[np.int64]
    too_few: dict[str, int]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """``(g,)`` int64, the pictures of each."""
        return self.count(np.ones(len(self.number), dtype=np.bool_))

    def count(self, of: NDArray[np.bool_]) -> NDArray[np.int64]:
        """``(g,)`` int64, the pictures of each group that are meant by ``of`` ``(n,)``."""
        members = self.number[of & (self.number != TOO_FEW)]
        return np.bincount(members, minlength=len(self.names))


def groups_of(rows: pd.DataFrame, column: str, settings: SlicesSettings) -> Groups:
    """Group pictures by one column.

    Args:
        rows: the index of the n test pictures.
        column: one of ``labels.csv``, or one of ``PROPERTIES``.
        settings: how numbers are cut, how many groups there may be and how large each must be.

    Raises:
        NotGrouped: there is no such column, it has one value or too many, or fewer than two of its groups
            have ``min_n`` pictures.
    """
    import pandas as pd

    values = _values(rows, column, settings)
    texts = values.astype(str).astype(object).mask(values.isna(), MISSING)
    number, found = pd.factorize(texts, sort=True)
    names, sizes = [str(name) for name in found], np.bincount(number)
    _refuse_one_or_too_many(column, names, settings)
    enough = sizes >= settings.min_n
    if np.count_nonzero(enough) < 2:  # noqa: PLR2004 - to compare takes two
        each = ", ".join(f"{name} {size:,}" for name, size in zip(names, sizes, strict=True))
        raise NotGrouped(
            f"fewer than two groups of {column} have {settings.min_n:,} test pictures "
            f"(evaluate.slices.min_n): {each}"
        )
    place = np.where(enough, np.cumsum(enough) - 1, TOO_FEW)
    return Groups(
        names=tuple(name for name, large in zip(names, enough, strict=True) if large),
        number=place[number],
        too_few={
            name: int(size) for name, size, large in zip(names, sizes, enough, strict=True) if not large
        },
    )


def _refuse_one_or_too_many(column: str, names: list[str], settings: SlicesSettings) -> None:
    if max(len(name) for name in names) > LONGEST_NAME:
        raise NotGrouped(f"{column} has values of more than {LONGEST_NAME} characters, which name no groups")
    if len(names) == 1:
        raise NotGrouped(f"every test picture has the same {column}: {names[0]}")
    if len(names) > settings.max_groups:
        raise NotGrouped(
            f"{column} has {len(names):,} values, and at most {settings.max_groups} make groups "
            "(evaluate.slices.max_groups); evaluate.slices.quarters cuts numbers into quarters"
        )


def own_columns(rows: pd.DataFrame) -> list[str]:
    """The columns that deliveries brought with their ``labels.csv``, beside those that every index has."""
    return [str(name) for name in rows.columns if name not in INDEX_COLUMNS]


def _values(rows: pd.DataFrame, column: str, settings: SlicesSettings) -> pd.Series:
    """One text a picture; missing where it has none."""
    if column in settings.quarters and column in rows:
        return _cut(*_numbers(rows, column), QUARTERS)
    if column == SOURCE:
        return rows[SOURCE].str.partition("/")[0]
    if column == BRIGHTNESS:
        return _cut(rows[BRIGHTNESS], number, THIRDS)
    if column in rows:
        return rows[column]
    if column == PICTURE_SIZE:
        pixels = (rows["width"] * rows["height"]).astype(np.float64)
        return _cut(pixels, lambda value: f"{value:,.0f}", THIRDS)
    there = own_columns(rows)
    has = f"the data has: {', '.join(there)}" if there else "the data has none beside the label"
    raise NotGrouped(f"labels.csv brought no column {column}; {has}")


def _numbers(rows: pd.DataFrame, column: str) -> tuple[pd.Series, Callable[[float], str]]:
    """A column as float64, NaN where there is no number, and how one is written."""
    import pandas as pd

    if column == "captured_at":
        from steps.data.checks.capture_times import capture_times

        times = capture_times(rows)
        seconds = (times - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
        return seconds, lambda value: datetime.fromtimestamp(value, UTC).date().isoformat()
    numbers = pd.to_numeric(rows[column].astype(object), errors="coerce").astype(np.float64)
    numbers = numbers.where(np.isfinite(numbers))
    if numbers.isna().all():
        raise NotGrouped(f"{column} holds no number that could be cut into quarters")
    return numbers, number


def _cut(values: pd.Series, written: Callable[[float], str], parts: int) -> pd.Series:
    """Cut numbers into parts of about as many pictures each; equal numbers stay together.

    Returns:
        Names such as ``1 of 3: 12 to 80``, in the order of the numbers; missing for NaN.
    """
    import pandas as pd

    known = values.dropna()
    edges = np.unique(np.quantile(known, np.arange(1, parts) / parts)) if len(known) else np.zeros(0)
    part = np.searchsorted(edges, known, side="left")
    _, part = np.unique(part, return_inverse=True)
    spans = known.groupby(part).agg(["min", "max"])
    names = [_span(low, high, written) for low, high in spans.itertuples(index=False)]
    if len(names) > 1:
        names = [f"{place} of {len(names)}: {name}" for place, name in enumerate(names, 1)]
    return pd.Series([names[each] for each in part], index=known.index, dtype=object).reindex(values.index)


def _span(low: float, high: float, written: Callable[[float], str]) -> str:
    return f"{written(low)} to {written(high)}" if high > low else written(low)
