"""Tests of steps/data/checks/duplicates.py: copies to the byte, near ones, and labels that contradict."""

import pandas as pd

from steps.data.checks.duplicates import (
    DuplicateSettings,
    exact_duplicates,
    near_duplicates,
    near_two_labels,
)
from steps.data.checks.limits import CheckLimit

LIMITS = DuplicateSettings()
STRICT = CheckLimit(limit=0, severity="refuse")


def index_of(clusters: list[str | None], labels: list[str] | None = None) -> pd.DataFrame:
    """One picture a cluster, hashed."""
    return pd.DataFrame(
        {
            "image_id": [f"{n:064x}" for n in range(len(clusters))],
            "label": labels or ["shirt"] * len(clusters),
            "phash": pd.array(["00ff00ff00ff00ff"] * len(clusters), dtype="string"),
            "cluster": pd.array(clusters, dtype="string"),
        }
    )


def test_repeated_rows_beyond_the_limit_warn() -> None:
    """6 of 100 do, 5 do not."""
    assert exact_duplicates(5, 100, LIMITS.exact_duplicates).outcome == "passed"
    check = exact_duplicates(6, 100, LIMITS.exact_duplicates)
    assert (check.outcome, check.measured) == ("warned", 0.06)
    assert check.reason.startswith(
        "Rows that repeat a picture and its label: 6 of 100, 6.0%; at most 5.0% may."
    )
    assert exact_duplicates(1, 100, STRICT).outcome == "refused"
    assert exact_duplicates(0, 0, STRICT).outcome == "not_assessed"


def test_near_duplicates_count_but_for_the_first_of_each() -> None:
    """Two clusters of three are four repetitions."""
    index = index_of(["a", "a", "a", "b", "b", "b", *[None] * 34])
    check = near_duplicates(index, LIMITS.near_duplicates)
    assert (check.outcome, check.measured) == ("warned", 0.1)
    assert near_duplicates(index, STRICT).outcome == "refused"
    few = near_duplicates(index_of(["a", "a", *[None] * 38]), LIMITS.near_duplicates)
    assert (few.outcome, few.measured) == ("passed", 0.025)


def test_pictures_without_a_hash_are_not_called_clean() -> None:
    """Under 64 pixels nobody looked for near-duplicates."""
    index = index_of([None] * 5)
    index["phash"] = pd.NA
    for check in (near_duplicates(index, STRICT), near_two_labels(index, STRICT)):
        assert check.outcome == "not_assessed"
        assert check.measured is None
    unclustered = index_of([None] * 5).drop(columns="cluster")
    assert near_duplicates(unclustered, STRICT).outcome == "not_assessed"
    assert near_two_labels(unclustered, STRICT).outcome == "not_assessed"
