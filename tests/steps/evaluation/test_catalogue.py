"""Every metric that a policy may name says which way it is good and where its limit can lie."""

from __future__ import annotations

import math

import pytest

from materializers.verdict import judge
from steps.evaluation.catalogue import CATALOGUE, Entry
from steps.evaluation.policy import Policy

each_metric = pytest.mark.parametrize(("name", "entry"), CATALOGUE.items(), ids=CATALOGUE)


def rule(name: str, limit: float, compare: str = "point") -> Policy:
    """A policy of one rule on a metric."""
    return Policy.model_validate(
        {
            "comparison": {"margin": max(0.0, -limit), "harm_alpha": min(max(limit, 1e-6), 0.4)},
            "rules": {name: {"requirement": "required", "limit": limit, "compare": compare}},
        }
    )


@each_metric
def test_the_best_and_the_worst_value_are_told_apart(name: str, entry: Entry) -> None:
    """By any limit that the metric can have between them."""
    good, bad = (entry.highest, entry.lowest) if entry.direction == ">=" else (entry.lowest, entry.highest)
    if entry.lowest == entry.highest:
        assert judge(entry.lowest, entry.lowest, entry.direction) == "passed"
        assert judge(1 - entry.lowest, entry.lowest, entry.direction) == "refused"
        return
    middle = (entry.lowest + min(entry.highest, 1000.0)) / 2
    assert judge(min(good, 1e9), middle, entry.direction) == "passed"
    assert judge(min(bad, 1e9), middle, entry.direction) == "refused"


@each_metric
def test_a_limit_that_no_model_could_miss_or_meet_is_refused(name: str, entry: Entry) -> None:
    """Below the lowest and above the highest value; a NaN has no place at all."""
    limits = [entry.lowest - 0.001, entry.highest + 0.001, math.nan]
    for limit in limits:
        with pytest.raises(ValueError, match=rf"{name}|finite"):
            rule(name, limit)


@pytest.mark.parametrize(
    "name", ["memory_mb", "class_harm", "signature_valid", "predicted_classes", "cost_per_1000"]
)
def test_what_has_no_interval_has_no_bound_to_compare(name: str) -> None:
    """A rule on a bound of it could never be assessed."""
    entry = CATALOGUE[name]
    limit = 1.0 if entry.highest == math.inf else entry.highest
    with pytest.raises(ValueError, match="no interval"):
        rule(name, limit if not name.endswith("harm") else 0.025, "lower")
