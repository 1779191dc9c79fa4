"""The gate's policy as a configuration."""

from typing import Any

import pytest
from pydantic import ValidationError

from steps.evaluation.policy import Policy, Rules

PRODUCT = {
    "data_validation": ("required", 1.0),
    "learning": ("required", 1.0),
    "accuracy": ("required", 0.85),
    "precision": ("required", 0.80),
    "recall": ("required", 0.80),
    "f1_macro": ("required", 0.80),
    "roc_auc_macro": ("advisory", 0.85),
    "latency_p99_ms": ("required", 500.0),
}


def test_the_rules_are_the_products() -> None:
    """Requirement and limit of every rule are the product's."""
    rules = Policy().rules.model_dump()
    assert {name: (rule["requirement"], rule["limit"]) for name, rule in rules.items()} == PRODUCT


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"rules": {"accuracy": {"requirement": "required", "limit": 1.2}}}, "accuracy.limit"),
        ({"rules": {"recall": {"requirement": "required", "limit": -0.1}}}, "recall.limit"),
        ({"rules": {"f1_macro": {"requirement": "required", "limit": float("nan")}}}, "f1_macro.limit"),
        ({"rules": {"latency_p99_ms": {"requirement": "required", "limit": 0}}}, "latency_p99_ms.limit"),
        ({"rules": {"latency_p99_ms": {"requirement": "required", "limit": float("inf")}}}, "latency_p99_ms"),
        ({"rules": {"data_validation": {"requirement": "required", "limit": 0}}}, "data_validation.limit"),
        ({"rules": {"accuracy": {"requirement": "optional", "limit": 0.9}}}, "accuracy.requirement"),
        ({"rules": {"accuracy": {"limit": 0.9}}}, "accuracy.requirement"),
        ({"rules": {"acuracy": {"requirement": "required", "limit": 0.9}}}, "acuracy"),
        ({"compare": "interval"}, "compare"),
    ],
)
def test_a_wrong_policy_is_refused_by_name(wrong: dict[str, Any], named: str) -> None:
    """A limit out of range, a typo, a missing requirement: nobody is judged by it."""
    with pytest.raises(ValidationError, match=named):
        Policy.model_validate(wrong)


def test_another_limit_is_another_policy() -> None:
    """The digest that a verdict names covers every limit and requirement."""
    rules = Rules().model_dump()
    digests = {Policy().digest}
    for name in rules:
        for change in ({"requirement": "advisory"}, {"requirement": "required", "limit": 1.0}):
            digests.add(Policy.model_validate({"rules": {name: {**rules[name], **change}}}).digest)
    # Three of the sixteen change nothing: what is advisory already, and the two limits of what has passed.
    assert len(digests) == 1 + 16 - 3
