"""Tests of steps/data/checks/schema.py: configured columns and rules across fields."""

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from materializers.data_report import Check
from steps.data.checks.schema import ColumnRule, Rule, check_schema

RULES: TypeAdapter[Any] = TypeAdapter(tuple[Rule, ...])
SALE = {"name": "sale_below_price", "left": "sale", "is": "<=", "right": "price"}
SIZE = {"name": "shoes_have_size", "where": {"column": "label", "equals": "shoes"}, "needs": "size"}


def index_of(**columns: list[str | None]) -> pd.DataFrame:
    """An index of text columns, as deliveries bring them."""
    rows = len(next(iter(columns.values())))
    frame = pd.DataFrame({"source": [f"shop/{number}.png" for number in range(rows)], **columns})
    return frame.astype("string[pyarrow]")


def column(values: list[str | None], **rule: Any) -> Check:
    """The check of one column."""
    (check,) = check_schema(index_of(x=values), {"x": ColumnRule.model_validate(rule)}, ())
    return check


def ruled(rule: dict[str, Any], **columns: list[str | None]) -> Check:
    """The check of one rule."""
    (check,) = check_schema(index_of(**columns), {}, RULES.validate_python([rule]))
    return check


FAILURES: dict[str, tuple[list[str | None], dict[str, Any], int, str]] = {
    "no number": (["1", "two", "1e999", "nan"], {"type": "number"}, 3, "no number: 3; such as 1.png"),
    "under": (["0", "-0.5", None], {"type": "number", "minimum": 0}, 1, "under 0: 1; such as 1.png"),
    "over": (["10001", "10000"], {"type": "number", "maximum": 10000}, 1, "over 10000: 1"),
    "no time": (["2026-01-02", "soon"], {"type": "time"}, 1, "no time: 1"),
    "too early": (["2019-12-31", "2020-01-01"], {"type": "time", "earliest": "2020-01-01"}, 1, "under 2020"),
    "too late": (["2026-01-02"], {"type": "time", "latest": "2026-01-01T00:00:00Z"}, 1, "over 2026-01-01"),
    "not allowed": (["red", "rde", None], {"allowed": ["red", "blue"]}, 1, "none of red, blue: 1"),
    "no such number": (["1", "2.0", "3"], {"type": "number", "allowed": [1, 2]}, 1, "none of 1, 2: 1"),
    "another pattern": (["A1", "A12", "xA1"], {"pattern": "A[0-9]"}, 2, "not like A[0-9]: 2"),
    "no value": (["a", None, "", "  "], {"required": True}, 3, "no value: 3; such as 1.png"),
}


@pytest.mark.parametrize(("values", "rule", "count", "said"), FAILURES.values(), ids=FAILURES)
def test_rows_that_break_a_column_are_counted_and_shown(
    values: list[str | None], rule: dict[str, Any], count: int, said: str
) -> None:
    """The sentence says what is wrong, how often, and where the first ones lie."""
    check = column(values, **rule)
    assert (check.name, check.outcome, check.measured) == ("column: x", "refused", count)
    assert said in check.reason


def test_a_row_with_two_faults_counts_once() -> None:
    """Measured is rows, not faults; what is wrong is told of each kind."""
    check = column(["-1", "seven", None], type="number", minimum=0, allowed=[1.0], required=True)
    assert check.measured == 3
    assert "no number: 1" in check.reason
    assert "no value: 1" in check.reason


def test_a_column_that_nobody_delivered_fails_only_where_it_is_required() -> None:
    """Every row lacks its value."""
    index = index_of(label=["tops"] * 3)
    needed, optional = check_schema(
        index, {"price": ColumnRule(type="number", required=True), "colour": ColumnRule()}, ()
    )
    assert (needed.outcome, needed.measured) == ("refused", 3)
    assert optional.outcome == "passed"


def test_limit_and_severity_are_of_each_column() -> None:
    """One row may fail here; two warn."""
    rule = {"type": "number", "limit": 1, "severity": "warn"}
    assert column(["x", "1", "2"], **rule).outcome == "passed"
    assert column(["x", "y", "2"], **rule).outcome == "warned"


def test_a_comparison_holds_or_is_broken() -> None:
    """Equal prices are allowed by <=; the path of a row that breaks the rule is shown."""
    check = ruled(SALE, sale=["5", "9", "7"], price=["5", "8", "10"])
    assert (check.name, check.outcome, check.measured) == ("rule: sale_below_price", "refused", 1)
    assert "1 of 3 rows break the rule sale <= price (such as 1.png); 0 may." in check.reason
    assert ruled(SALE, sale=["5"], price=["5"]).outcome == "passed"


def test_a_row_that_lacks_a_value_is_passed_over_by_a_comparison() -> None:
    """A picture that is not on sale breaks no rule about sales."""
    assert ruled(SALE, sale=[None, "", "3"], price=["5", "5", None]).outcome == "passed"


def test_a_value_that_cannot_be_read_breaks_a_comparison() -> None:
    """``free`` is no number: it does not pass for a missing one."""
    assert ruled(SALE, sale=["free"], price=[None]).measured == 1


@pytest.mark.parametrize(
    ("operator", "outcomes"),
    {
        "<": (True, False, False),
        "<=": (True, True, False),
        "==": (False, True, False),
        "!=": (True, False, True),
        ">=": (False, True, True),
        ">": (False, False, True),
    }.items(),
)
def test_every_operator_compares_numbers_as_numbers(operator: str, outcomes: tuple[bool, bool, bool]) -> None:
    """9 is less than 10, though the text is not."""
    rule = SALE | {"is": operator}
    pairs = (("9", "10"), ("10.0", "10"), ("11", "10"))
    found = [ruled(rule, sale=[left], price=[right]).outcome == "passed" for left, right in pairs]
    assert tuple(found) == outcomes


def test_times_are_compared_across_zones() -> None:
    """Ten in Berlin is nine in London, and a day alone is its beginning."""
    rule = {"name": "order", "left": "start", "is": "<=", "right": "end", "type": "time"}
    check = ruled(
        rule,
        start=["2026-01-01T10:00:00+01:00", "2026-01-02", "2026-01-01"],
        end=["2026-01-01T09:00:00Z", "2026-01-01T23:00:00Z", "never"],
    )
    assert check.measured == 2


def test_rows_of_a_kind_need_a_value() -> None:
    """Shoes without a size break the rule; hats need none."""
    check = ruled(SIZE, label=["shoes", "shoes", "hats", None], size=["42", None, None, None])
    assert (check.outcome, check.measured) == ("refused", 1)
    assert "the rule label shoes needs size (such as 1.png)" in check.reason


@pytest.mark.parametrize("rule", [SALE, SIZE])
def test_a_rule_about_a_column_that_is_gone_is_not_assessed_and_refuses(rule: dict[str, Any]) -> None:
    """A supplier who drops a column does not pass by it; a rule that warns lets the run go on."""
    check = ruled(rule, colour=["red"])
    assert (check.outcome, check.refuses) == ("not_assessed", True)
    assert "there is no column" in check.reason
    assert not ruled(rule | {"severity": "warn"}, colour=["red"]).refuses


@pytest.mark.parametrize(
    ("rule", "key"),
    [
        (SALE | {"lft": "x"}, "comparison.lft"),
        (SIZE | {"need": "x"}, "need.need"),
        (SALE | {"is": "__import__('os')"}, "comparison.is"),
    ],
)
def test_a_rule_with_another_key_or_operator_is_refused(rule: dict[str, Any], key: str) -> None:
    """A rule is one of two forms with known keys; nothing in it is ever evaluated."""
    with pytest.raises(ValidationError, match=key):
        RULES.validate_python([rule])


@settings(deadline=None, max_examples=40)
@given(
    values=st.lists(
        st.floats(allow_nan=False, allow_infinity=False, width=32) | st.none(), min_size=1, max_size=30
    ),
    bounds=st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)),
)
def test_a_range_counts_exactly_what_lies_outside(
    values: list[float | None], bounds: tuple[float, float]
) -> None:
    """For any numbers and any range, as plain comparison counts them."""
    low, high = sorted(bounds)
    check = column(
        [None if value is None else repr(value) for value in values], type="number", minimum=low, maximum=high
    )
    assert check.measured == sum(value is not None and not low <= value <= high for value in values)
    assert (check.outcome == "passed") == (check.measured == 0)


@settings(deadline=None, max_examples=40)
@given(values=st.lists(st.text() | st.none(), min_size=1, max_size=20))
def test_text_of_any_kind_is_judged_and_falls_over_nowhere(values: list[str | None]) -> None:
    """Whatever stands in a column, every row either is a number in range or fails or has no value."""
    check = column(values, type="number", minimum=0, maximum=9, required=True)
    assert check.measured is not None
    assert 0 <= check.measured <= len(values)
    empty = sum(value is None or not value.strip() for value in values)
    assert check.measured >= empty
