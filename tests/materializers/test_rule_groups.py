"""Every rule has its place on a page."""

from __future__ import annotations

import pytest

from materializers.rule_groups import GROUPS, OTHERS, group_of, grouped, open_rules
from steps.evaluation.catalogue import CATALOGUE
from tests.materializers.examples import rule


@pytest.mark.parametrize("metric", CATALOGUE)
def test_whatever_can_be_measured_has_a_group(metric: str) -> None:
    """A new metric that nobody gave a place would stand among the others."""
    assert group_of(metric) in GROUPS


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("accuracy", "accuracy"),
        ("accuracy_difference_to_anchor", "comparison"),
        ("accuracy_gap", "fairness"),
        ("roc_auc_macro", "accuracy"),
        ("near_ood_auroc", "uncertainty"),
        ("corruption_relative_accuracy_of", "robustness"),
        ("our_own_rule", OTHERS),
    ],
)
def test_the_longest_beginning_of_a_name_decides(name: str, group: str) -> None:
    """An accuracy gap is no accuracy."""
    assert group_of(name) == group


def test_rules_are_grouped_in_the_order_of_the_page() -> None:
    """What did not pass first, else as the policy has them; a group without a rule is left out."""
    rules = (
        rule(1.0, rule="house_rule"),
        rule(0.9, rule="recall", subject="bags"),
        rule(0.1, rule="recall", subject="tops"),
        rule(1.0, rule="learning"),
    )
    found = {group: [each.name for each in members] for group, members in grouped(rules).items()}
    assert found == {
        "data and training": ["learning"],
        "accuracy": ["recall of tops", "recall of bags"],
        OTHERS: ["house_rule"],
    }
    assert list(found) == ["data and training", "accuracy", OTHERS]


def test_what_is_open_is_what_refuses_and_then_what_nobody_knows() -> None:
    """Advice decides nothing and is no reason."""
    rules = (
        rule(0.9),
        rule(None, rule="f1_macro"),
        rule(0.1, rule="recall"),
        rule(0.1, requirement="advisory"),
    )
    assert [each.rule for each in open_rules(rules)] == ["recall", "f1_macro"]
