"""Tests of steps/data/checks/shares.py."""

import pandas as pd
import pytest

from steps.data.checks.limits import CheckLimit
from steps.data.checks.shares import check_every_class, check_set_apart, check_shares, check_tested

WANTED = {"train": 0.7, "validation": 0.15, "test": 0.15}
REFUSE, WARN = CheckLimit(limit=0.01, severity="refuse"), CheckLimit(limit=0.01, severity="warn")


def counts(**classes: tuple[int, int, int, int]) -> pd.DataFrame:
    """Pictures per class and side."""
    return pd.DataFrame.from_dict(
        classes, orient="index", columns=["train", "validation", "test", "set_apart"]
    )


def test_shares_as_configured_pass() -> None:
    """One picture of a thousand away is within one percent."""
    assert check_shares(counts(a=(701, 150, 149, 0)), WANTED, REFUSE).outcome == "passed"


@pytest.mark.parametrize(("limit", "outcome"), [(REFUSE, "refused"), (WARN, "warned")])
def test_a_share_that_is_off_is_named(limit: CheckLimit, outcome: str) -> None:
    """The class and split that are farthest away; what happens is configured."""
    check = check_shares(counts(a=(700, 150, 150, 0), b=(600, 300, 100, 0)), WANTED, limit)
    assert (check.outcome, check.limit) == (outcome, 0.01)
    assert check.measured == pytest.approx(0.15)
    assert "configured 15.0% is that of validation in b" in check.reason


def test_shares_of_small_classes_are_not_assessed() -> None:
    """One picture more of twenty is no sign of anything."""
    check = check_shares(counts(a=(20, 0, 0, 0)), WANTED, REFUSE)
    assert (check.outcome, check.measured) == ("not_assessed", None)


def test_a_class_that_is_not_in_a_split_is_refused() -> None:
    """It can be learnt and never judged; the report names class and split."""
    limit = CheckLimit(limit=0, severity="refuse")
    check = check_every_class(counts(a=(7, 2, 1, 0), b=(9, 1, 0, 0)), limit)
    assert (check.outcome, check.measured) == ("refused", 1)
    assert "(b in test)" in check.reason
    assert check_every_class(counts(a=(7, 2, 1, 0)), limit).outcome == "passed"


def test_too_many_set_apart_are_refused() -> None:
    """A group that is a whole supplier would empty the training split without a word."""
    limit = CheckLimit(limit=0.05, severity="refuse")
    check = check_set_apart(counts(a=(70, 10, 10, 10)), limit)
    assert check.outcome == "refused"
    assert check.measured == pytest.approx(0.1)
    assert "10 pictures set apart: 10.0% of 100; at most 5.0% may be" in check.reason
    assert check_set_apart(counts(a=(70, 10, 15, 5)), limit).outcome == "passed"
    assert check_set_apart(counts(), limit).measured == 0


def test_fewer_pictures_for_testing_than_the_policy_needs_are_refused() -> None:
    """All classes count together; as many as it needs are enough."""
    there = counts(a=(70, 15, 15, 0), b=(70, 15, 15, 0))
    check = check_tested(there, 31)
    assert (check.outcome, check.measured, check.limit) == ("refused", 30, 31)
    assert "30 pictures for testing, and a required rule of the policy needs 31 (min_n)" in check.reason
    assert check_tested(there, 30).outcome == "passed"
