"""Whether the columns of ``labels.csv`` hold what the configuration says: types, ranges, rules across fields.

Columns are text. A configured one is read as its type, and a pandera schema judges the values; a value that
cannot be read as its type never passes as missing. Rules are a small form of their own: nothing is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
import pandas as pd
from pydantic import ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from materializers.data_report import Check, Severity
from materializers.report import Record
from steps.data.checks.judging import judged, not_assessed
from steps.data.checks.limits import CheckLimit

if TYPE_CHECKING:
    import pandera.pandas as pa

SHOWN = 3
CORRECT = "Correct labels.csv"
Kind = Literal["text", "number", "time"]
Operator = Literal["<", "<=", "==", "!=", ">=", ">"]
COMPARISONS: dict[str, Callable[[pd.Series, pd.Series], pd.Series]] = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    ">=": lambda left, right: left >= right,
    ">": lambda left, right: left > right,
}


class Bounded(Record):
    """How many rows may fail, and what happens beyond them."""

    limit: float = Field(default=0, ge=0, allow_inf_nan=False)
    """Rows that may fail."""
    severity: Severity = "refuse"

    @property
    def bound(self) -> CheckLimit:
        """The limit as the checks take it."""
        return CheckLimit(limit=self.limit, severity=self.severity)


class ColumnRule(Bounded):
    """What the values of one column have to be; a row without a value fails only where it is required."""

    type: Kind = "text"
    required: bool = False
    """The column is there, and every row has a value."""
    minimum: float | None = Field(default=None, allow_inf_nan=False)
    maximum: float | None = Field(default=None, allow_inf_nan=False)
    earliest: datetime | None = None
    latest: datetime | None = None
    allowed: tuple[str | float, ...] | None = Field(default=None, min_length=1)
    pattern: str | None = None
    """A regular expression that the whole value has to match."""

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"the pattern is no regular expression: {error}") from error
        return pattern

    @field_validator("earliest", "latest")
    @classmethod
    def _in_utc(cls, time: datetime | None) -> datetime | None:
        """A time without a zone is UTC, as it is in ``labels.csv``."""
        return time if time is None or time.tzinfo is not None else time.replace(tzinfo=UTC)

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        kinds = {"number": ("minimum", "maximum"), "time": ("earliest", "latest"), "text": ("pattern",)}
        for kind, names in kinds.items():
            set_ = [name for name in names if getattr(self, name) is not None]
            if set_ and kind != self.type:
                raise ValueError(f"{' and '.join(set_)} go with type {kind}; this column is a {self.type}")
        wanted = {"text": str, "number": float}.get(self.type)
        if self.allowed is not None and (
            wanted is None or not all(isinstance(value, wanted) for value in self.allowed)
        ):
            raise ValueError(
                f"allowed lists texts of a text column and numbers of a number column: these do not fit a "
                f"{self.type} column; quote what is a text"
            )
        for low, high in (("minimum", "maximum"), ("earliest", "latest")):
            least, most = getattr(self, low), getattr(self, high)
            if least is not None and most is not None and least > most:
                raise ValueError(f"{low} is {least} and {high} is {most}: no value lies between")
        return self


class Comparison(Bounded):
    """A value of a row stands in a relation to another one of it; a row that lacks either is passed over."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: str = Field(pattern=r"\S")
    left: str
    is_: Operator = Field(alias="is")
    right: str
    type: Kind = "number"

    @property
    def columns(self) -> tuple[str, ...]:
        """What the rule reads."""
        return (self.left, self.right)

    def __str__(self) -> str:
        """The rule in words."""
        return f"{self.left} {self.is_} {self.right}"

    def fails(self, frame: pd.DataFrame) -> pd.Series:
        """Whether each row breaks the rule; a value that is there and cannot be read does."""
        left, right = (read(frame[name], self.type) for name in self.columns)
        unread = (left.isna() & given(frame[self.left])) | (right.isna() & given(frame[self.right]))
        both = left.notna() & right.notna()
        holds = COMPARISONS[self.is_](left[both], right[both]).astype(bool)
        return unread | ~holds.reindex(frame.index, fill_value=True)


class Where(Record):
    """Rows whose column has this value."""

    column: str
    equals: str


class Need(Bounded):
    """Rows of a kind need a value in a column."""

    name: str = Field(pattern=r"\S")
    where: Where
    needs: str

    @property
    def columns(self) -> tuple[str, ...]:
        """What the rule reads."""
        return (self.where.column, self.needs)

    def __str__(self) -> str:
        """The rule in words."""
        return f"{self.where.column} {self.where.equals} needs {self.needs}"

    def fails(self, frame: pd.DataFrame) -> pd.Series:
        """Whether each row breaks the rule."""
        concerned = (frame[self.where.column].astype(object) == self.where.equals).fillna(False)
        return concerned.astype(bool) & ~given(frame[self.needs])


def _form(rule: object) -> str:
    """Which form a rule has, so that a misspelt key is told in its terms."""
    need = "needs" in rule or "where" in rule if isinstance(rule, Mapping) else isinstance(rule, Need)
    return "need" if need else "comparison"


Rule = Annotated[
    Annotated[Comparison, Tag("comparison")] | Annotated[Need, Tag("need")], Discriminator(_form)
]


def given(column: pd.Series) -> pd.Series:
    """Whether each row has a value."""
    return column.notna() & (column.astype(str).str.strip() != "")


def read(column: pd.Series, kind: Kind) -> pd.Series:
    """The values as their type; missing where there is none or it cannot be read.

    Returns:
        text as it is, numbers as finite float64, times in UTC; with the index of ``column``.
    """
    values: pd.Series = column.astype(object).where(given(column), np.nan)
    if kind == "number":
        numbers: pd.Series = pd.to_numeric(values, errors="coerce").astype("float64")
        return numbers.where(np.isfinite(numbers), np.nan)
    if kind == "time":
        times: pd.Series = pd.to_datetime(values, format="ISO8601", errors="coerce", utc=True)
        return times
    return values


def check_schema(
    index: pd.DataFrame, columns: Mapping[str, ColumnRule], rules: Sequence[Comparison | Need]
) -> list[Check]:
    """A check for each configured column and each rule.

    Args:
        index: one row a picture; its text columns, and ``source``, which says where an example lies.
        columns: what is configured for each column.
        rules: what is configured across columns.

    Returns:
        Measured is the number of rows that fail. A rule that reads a column which is not there is
        ``not_assessed``.
    """
    if not columns and not rules:
        return []
    failures = _failures(index, columns)
    checks = [
        _check(f"column: {name}", f"break what is configured for {name}", failures[name], index, rule)
        for name, rule in columns.items()
    ]
    for rule in rules:
        absent = [name for name in rule.columns if name not in index]
        if absent:
            reason = (
                f"The rule {rule} cannot be applied: there is no column {' and no column '.join(absent)}. "
                "Deliver it, or take the rule out of validate.rules."
            )
            checks.append(not_assessed(f"rule: {rule.name}", rule.bound, reason))
            continue
        failed = {"": rule.fails(index)}
        checks.append(_check(f"rule: {rule.name}", f"break the rule {rule}", failed, index, rule))
    return checks


def schema_of(columns: Mapping[str, ColumnRule]) -> pa.DataFrameSchema:
    """The pandera schema of the configured columns, as :func:`read` gives them."""
    import pandera.pandas as pa

    def checks(rule: ColumnRule) -> list[pa.Check]:
        found = []
        for low, high in ((rule.minimum, rule.maximum), (rule.earliest, rule.latest)):
            if low is not None:
                found.append(pa.Check.ge(low, error=f"under {_said(low)}"))
            if high is not None:
                found.append(pa.Check.le(high, error=f"over {_said(high)}"))
        if rule.allowed is not None:
            named = ", ".join(_said(value) for value in rule.allowed)
            found.append(pa.Check.isin(rule.allowed, error=f"none of {named}"))
        if rule.pattern is not None:
            whole = re.compile(rule.pattern)
            found.append(
                pa.Check(
                    lambda value: whole.fullmatch(value) is not None,
                    element_wise=True,
                    error=f"not like {rule.pattern}",
                )
            )
        return found

    return pa.DataFrameSchema(
        {
            name: pa.Column(checks=checks(rule), nullable=not rule.required, required=True)
            for name, rule in columns.items()
        }
    )


def _said(value: str | float | datetime) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _failures(index: pd.DataFrame, columns: Mapping[str, ColumnRule]) -> dict[str, dict[str, pd.Series]]:
    """Per column, what is wrong → whether each row has it."""
    import pandera.pandas as pa

    absent = pd.Series(None, index=index.index, dtype=object)
    texts = {name: index.get(name, absent) for name in columns}
    frame = pd.DataFrame(
        {name: read(texts[name], rule.type) for name, rule in columns.items()}, index=index.index
    )
    found: dict[str, dict[str, pd.Series]] = {name: {} for name in columns}
    for name, rule in columns.items():
        unread = frame[name].isna() & given(texts[name])
        if unread.any():
            found[name][f"no {rule.type}"] = unread
    try:
        schema_of(columns).validate(frame.reset_index(drop=True), lazy=True)
    except pa.errors.SchemaErrors as errors:
        for (name, what), cases in errors.failure_cases.groupby(["column", "check"]):
            failed = pd.Series(False, index=index.index)
            failed.iloc[cases["index"].astype(int).to_numpy()] = True
            missing = what == "not_nullable"
            if missing:
                failed &= ~given(texts[name])  # what is there and cannot be read is counted as that
            if failed.any():
                found[name]["no value" if missing else str(what)] = failed
    return found


def _check(
    name: str, what: str, failures: Mapping[str, pd.Series], index: pd.DataFrame, rule: Bounded
) -> Check:
    failed = np.zeros(len(index), dtype=bool)
    for each in failures.values():
        failed |= each.to_numpy()
    count = int(failed.sum())
    kinds = [f"{kind}: {int(each.sum()):,}" for kind, each in failures.items() if kind]
    paths = ", ".join(str(source).partition("/")[2] for source in index["source"][failed].head(SHOWN))
    shown = f" ({'; '.join([', '.join(kinds)] * bool(kinds) + [f'such as {paths}'])})" if count else ""
    reason = f"{count:,} of {len(index):,} rows {what}{shown}; {rule.limit:,.0f} may."
    return judged(name, count, rule.bound, "at most", reason, f"{CORRECT}.")
