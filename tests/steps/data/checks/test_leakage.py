"""Tests of steps/data/checks/leakage.py, on splits made by hand."""

import re

import pandas as pd
import pytest

from materializers.data_report import Check
from materializers.splits import APART, Splits
from steps.data.checks.leakage import check_leakage, check_time_leakage
from tests.steps.data.indexes import index_of, splits_of

INDEX = index_of(["a"] * 4, ["vase", "vase", None, None], [None, "alike", "alike", None]).assign(
    source_digest=["w", "x", "y", "z"], captured_at=[f"2026-01-0{day}" for day in (1, 2, 3, 4)]
)


def found(splits: Splits, index: pd.DataFrame = INDEX) -> dict[str, Check]:
    """The checks by name."""
    return {check.name: check for check in check_leakage(index, splits)}


def test_whole_groups_do_not_leak() -> None:
    """Each on one side: passed, with nothing found."""
    checks = found(splits_of(INDEX, ["test", "test", "test", "train"]))
    assert {name: check.outcome for name, check in checks.items()} == {
        "group_leakage": "passed",
        "cluster_leakage": "passed",
        "duplicate_leakage": "passed",
    }
    assert [check.measured for check in checks.values()] == [0, 0, 0]


@pytest.mark.parametrize(
    ("sides", "leaking", "named"),
    [
        (
            ["train", "test", "test", "train"],
            "group_leakage",
            "Groups with pictures in more than one split: 1 .*vase",
        ),
        (
            ["train", "train", "test", "train"],
            "cluster_leakage",
            "Clusters of near-duplicates with pictures in more than one split: 1 .*alike",
        ),
        (["validation", "train", "train", "train"], "group_leakage", "vase"),
    ],
)
def test_a_group_or_cluster_on_two_sides_is_refused(sides: list[str], leaking: str, named: str) -> None:
    """The check that found it names it, and only that one refuses."""
    checks = found(splits_of(INDEX, sides))
    assert [name for name, check in checks.items() if check.outcome == "refused"] == [leaking]
    assert (checks[leaking].severity, checks[leaking].measured, checks[leaking].limit) == ("refuse", 1, 0)
    assert re.search(named, checks[leaking].reason)


def test_an_exact_duplicate_on_two_sides_is_refused() -> None:
    """The same picture twice, or two pictures that came as the same file."""
    twice = Splits(
        pd.DataFrame({"image_id": ["picture-3"] * 2, "split": ["train", "test"], "label": ["a", "a"]})
    )
    assert found(twice)["duplicate_leakage"].measured == 1
    same_file = found(
        splits_of(INDEX, ["train", "train", "train", "test"]),
        INDEX.assign(source_digest=["w", "x", "y", "w"]),
    )
    assert same_file["duplicate_leakage"].outcome == "refused"


def test_what_is_set_apart_leaks_to_nobody() -> None:
    """A picture that is in no split may belong to one that is."""
    checks = found(splits_of(INDEX, [APART, "test", "test", "train"]))
    assert {check.outcome for check in checks.values()} == {"passed"}


def test_without_clusters_near_duplicates_are_not_assessed() -> None:
    """What nobody looked for is not said to be absent."""
    checks = found(splits_of(INDEX, ["train"] * 4), INDEX.drop(columns="cluster"))
    assert (checks["cluster_leakage"].outcome, checks["cluster_leakage"].measured) == ("not_assessed", None)


def test_a_training_picture_newer_than_a_test_picture_is_refused() -> None:
    """The future is not learnt from; the oldest test picture's time is named."""
    leaking = check_time_leakage(INDEX, splits_of(INDEX, ["train", "test", "validation", "train"]))
    assert (leaking.outcome, leaking.measured) == ("refused", 1)
    assert "1 training picture newer than the oldest test picture, 2026-01-02" in leaking.reason
    in_order = check_time_leakage(INDEX, splits_of(INDEX, ["train", "train", "validation", "test"]))
    assert in_order.outcome == "passed"
    assert check_time_leakage(INDEX, splits_of(INDEX, ["train"] * 4)).outcome == "passed"
