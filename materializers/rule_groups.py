"""Which rules stand together on a page: a verdict has more of them than anybody reads one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from materializers.verdict import RuleResult

GROUPS: dict[str, tuple[str, ...]] = {
    "data and training": ("data_validation", "learning"),
    "accuracy": ("accuracy", "top_k_accuracy", "precision", "recall", "f1_", "roc_auc"),
    "comparison": (
        "accuracy_difference_to_",
        "dropped_classes",
        "class_harm",
        "golden_harm",
        "new_rows_harm",
    ),
    "fairness": (
        "worst_group_accuracy",
        "accuracy_gap",
        "fairness_gap",
        "demographic_parity_difference",
        "equalized_odds_difference",
    ),
    "robustness": ("corruption_", "adversarial_accuracy"),
    "explanations": ("explanation_",),
    "behaviour": (
        "invariance",
        "directional_covering",
        "minimum_functionality",
        "predicted_classes",
        "same_answer_",
    ),
    "uncertainty": (
        "expected_calibration_error",
        "coverage",
        "selective_risk",
        "near_ood_auroc",
        "far_ood_auroc",
    ),
    "cost": (
        "latency_",
        "request_errors",
        "throughput_per_s",
        "memory_mb",
        "start_up_s",
        "cost_per_1000",
        "model_mb",
    ),
    "security": ("unexpected_files", "signature_valid", "unlisted_advisories", "watermark_matches"),
}
"""In the order of the page: how the names of a group's rules begin. The longest beginning decides."""
OTHERS = "others"
"""A rule that the policy gave a name of its own."""


def group_of(rule: str) -> str:
    """The group that a rule of this name stands in."""
    beginnings = {begin: group for group, begins in GROUPS.items() for begin in begins}
    found = [begin for begin in beginnings if rule.startswith(begin)]
    return beginnings[max(found, key=len)] if found else OTHERS


def grouped(rules: Sequence[RuleResult]) -> dict[str, list[RuleResult]]:
    """The rules by group, in the order of the page; within a group those that did not pass come first."""
    found: dict[str, list[RuleResult]] = {group: [] for group in (*GROUPS, OTHERS)}
    for rule in sorted(rules, key=lambda each: each.outcome == "passed"):
        found[group_of(rule.rule)].append(rule)
    return {group: members for group, members in found.items() if members}


def is_open(rule: RuleResult) -> bool:
    """Whether a rule that is required did not pass."""
    return rule.requirement == "required" and rule.outcome != "passed"


def open_rules(rules: Sequence[RuleResult]) -> list[RuleResult]:
    """The required rules that did not pass, what refuses first."""
    return sorted(filter(is_open, rules), key=lambda rule: rule.outcome != "refused")
