"""The gate's policy as a configuration."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from materializers.errors import UsageError
from pipelines.config import load_config
from steps.evaluation.catalogue import CATALOGUE
from steps.evaluation.policy import Policy
from tests.shrunk.delivery import PROJECT
from tests.steps.evaluation.policies import product_policy

PRODUCT = {
    "data_validation": ("required", 1.0),
    "learning": ("required", 1.0),
    "accuracy": ("required", 0.85),
    "precision": ("required", 0.80),
    "recall": ("required", 0.80),
    "f1_macro": ("required", 0.80),
    "roc_auc_macro": ("advisory", 0.85),
    "accuracy_difference_to_champion": ("required", -0.02),
    "accuracy_difference_to_anchor": ("required", -0.02),
    "dropped_classes": ("required", 0.0),
    "class_harm": ("required", 0.025),
    "golden_harm": ("required", 0.025),
    "new_rows_harm": ("required", 0.025),
    "fairness_gap": ("advisory", 0.10),
    "corruption_relative_accuracy": ("required", 0.70),
    "adversarial_accuracy": ("advisory", 0.0),
    "explanation_deletion_margin": ("required", 0.10),
    "invariance": ("required", 0.95),
    "predicted_classes": ("required", 1.0),
    "same_answer_twice": ("required", 1.0),
    "same_answer_in_another_batch": ("required", 1.0),
    "directional_covering": ("advisory", 0.6),
    "minimum_functionality": ("advisory", 1.0),
    "expected_calibration_error": ("advisory", 0.05),
    "near_ood_auroc": ("advisory", 0.7),
    "far_ood_auroc": ("advisory", 0.8),
    "latency_p99_ms": ("required", 500.0),
    "request_errors": ("required", 0.0),
    "throughput_per_s": ("required", 100.0),
    "memory_mb": ("required", 2048.0),
    "cost_per_1000": ("required", 1.0),
    "unexpected_files": ("required", 0.0),
    "signature_valid": ("required", 1.0),
    "unlisted_advisories": ("required", 0.0),
    "watermark_matches": ("advisory", 0.75),
}
"""What is required where something is declared advises here: nothing is."""


def policy(**rules: Any) -> Policy:
    """A policy of these rules and one that is required."""
    return Policy.model_validate({"rules": {"accuracy": {"requirement": "required", "limit": 0.5}, **rules}})


def test_the_rules_are_the_products() -> None:
    """Requirement and limit of every rule are the product's."""
    rules = product_policy().rules
    assert {name: (rule.requirement, rule.limit) for name, rule in rules.items()} == PRODUCT


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        ({"accuracy": {"requirement": "required", "limit": 1.2}}, "accuracy is 1.2; it must be from 0 to 1"),
        ({"recall": {"requirement": "required", "limit": -0.1}}, "recall is -0.1; it must be from 0 to 1"),
        ({"f1_macro": {"requirement": "required", "limit": float("nan")}}, "f1_macro.limit"),
        ({"latency_p99_ms": {"requirement": "required", "limit": -1.0}}, "latency_p99_ms is -1"),
        ({"latency_p99_ms": {"requirement": "required", "limit": float("inf")}}, "latency_p99_ms"),
        ({"data_validation": {"requirement": "required", "limit": 0.0}}, "it must be from 1 to 1"),
        ({"accuracy": {"requirement": "optional", "limit": 0.9}}, "accuracy.requirement"),
        ({"accuracy": {"limit": 0.9}}, "accuracy.requirement"),
        (
            {"acuracy": {"requirement": "required", "limit": 0.9}},
            "nothing measures 'acuracy'; did you mean 'accuracy'",
        ),
        (
            {"beauty": {"requirement": "required", "limit": 0.9}},
            "nothing measures 'beauty'; known are: data_valid",
        ),
        ({"ours": {"metric": "acuracy", "requirement": "required", "limit": 0.9}}, "did you mean 'accuracy'"),
        ({"accuracy": {"requirement": "required", "limit": 0.9, "compare": "interval"}}, "accuracy.compare"),
        ({"accuracy": {"requirement": "required", "limit": 0.9, "minimum": 3}}, "accuracy.minimum"),
        ({"class_harm": {"requirement": "required", "limit": 0.05, "compare": "lower"}}, "has no interval"),
        ({"accuracy": {"requirement": "required", "limit": 0.9, "min_n": -1}}, "accuracy.min_n"),
        ({"accuracy": {"requirement": "required", "limit": 0.9, "where_declared": True}}, "always measured"),
        ({"accuracy": {"requirement": "required", "limit": 0.9, "subject": "bags"}}, "leave the subject out"),
        ({"recall": {"requirement": "required", "limit": 0.9, "subject": ["bags"]}}, "recall.subject"),
        ({"accuracy": {"requirement": "required", "limit": 0.9, "min_n": 1_000_001}}, "accuracy.min_n"),
        ({"": {"metric": "recall", "requirement": "required", "limit": 0.9}}, "called by letters"),
        ({"re\ncall": {"metric": "recall", "requirement": "required", "limit": 0.9}}, "not 're\\ncall'"),
        ({"re.call": {"metric": "recall", "requirement": "required", "limit": 0.9}}, "not 're.call'"),
        ({"r" * 101: {"metric": "recall", "requirement": "required", "limit": 0.9}}, "100 at most"),
        ({"accuracy": "required"}, "rules.accuracy"),
        ({}, "rules"),
        ({"accuracy": {"requirement": "advisory", "limit": 0.9}}, "no rule of the policy is required"),
    ],
)
def test_a_wrong_policy_is_refused_by_name(rules: dict[str, Any], named: str) -> None:
    """A limit out of range, a typo, a missing requirement: nobody is judged by it."""
    with pytest.raises(ValidationError, match=re.escape(named)):
        Policy.model_validate({"rules": rules})


def test_a_rule_may_have_a_name_of_its_own() -> None:
    """Two rules on one metric: one must hold, one shows where it should go."""
    both = policy(accuracy_goal={"metric": "accuracy", "requirement": "advisory", "limit": 0.95})
    assert {name: rule.metric for name, rule in both.rules.items()} == {
        "accuracy": "accuracy",
        "accuracy_goal": "accuracy",
    }


def test_the_test_pictures_that_a_policy_needs_are_those_of_its_strictest_required_rule() -> None:
    """What advises, and what is measured on other rows than test pictures, asks for none of them."""
    assert product_policy().min_tested == 0
    needing = policy(
        recall={"requirement": "required", "limit": 0.5, "min_n": 100},
        precision={"requirement": "advisory", "limit": 0.5, "min_n": 300},
        data_validation={"requirement": "required", "limit": 1.0, "min_n": 400},
        latency_p99_ms={"requirement": "required", "limit": 500.0, "min_n": 1000},
        near_ood_auroc={"requirement": "required", "limit": 0.7, "min_n": 600},
        watermark_matches={"requirement": "required", "limit": 0.7, "min_n": 600},
    )
    assert needing.min_tested == 100


def test_another_rule_is_another_policy() -> None:
    """The digest that a verdict names covers everything that a rule says."""
    changes: list[dict[str, Any]] = [
        {},
        {"limit": 0.6},
        {"requirement": "advisory"},
        {"min_n": 5},
        {"compare": "lower"},
        {"subject": "bags"},
    ]
    digests = {
        policy(recall={"requirement": "required", "limit": 0.5, **change}).digest for change in changes
    }
    assert len(digests) == len(changes)


def test_a_required_rule_that_can_never_be_assessed_is_refused() -> None:
    """What it needs is switched off: it names the setting, and the other way out."""
    rule = {"requirement": "required", "limit": 0.7}
    wanted = policy(corruption_relative_accuracy=rule)
    assert wanted.in_force(lambda setting: True) == wanted
    with pytest.raises(ValueError, match=r"evaluate\.robustness\.pictures is off.*requirement=advisory"):
        wanted.in_force(lambda setting: False)


def test_a_rule_where_something_is_declared_advises_where_nothing_is() -> None:
    """Fairness is required as soon as a column is declared sensitive, and that is another policy."""
    rule = {"requirement": "required", "limit": 0.1, "compare": "lower", "where_declared": True}
    wanted = policy(fairness_gap=rule)
    without = wanted.in_force(lambda setting: setting != "evaluate.slices.sensitive")
    assert without.rules["fairness_gap"].requirement == "advisory"
    assert wanted.in_force(lambda setting: True).rules["fairness_gap"].requirement == "required"
    assert without.digest != wanted.digest


def test_a_margin_that_is_not_the_limit_is_refused() -> None:
    """The margin of the test and the limit of the rule are one number."""
    rule = {"requirement": "required", "limit": -0.02, "compare": "lower"}
    with pytest.raises(ValidationError, match="the same margin stands in both"):
        Policy.model_validate(
            {"comparison": {"margin": 0.05}, "rules": {"accuracy_difference_to_champion": rule}}
        )


def test_what_counts_as_harm_is_part_of_the_policy() -> None:
    """Whoever loosens the class margin changes the policy, and needs its approval."""
    loose = product_policy().model_dump()
    loose["comparison"]["class_margin"] = 0.5
    assert Policy.model_validate(loose).digest != product_policy().digest


def test_every_setting_that_a_metric_needs_is_one() -> None:
    """What the catalogue calls switched off can be switched on."""
    config = load_config(None, ())
    for entry in CATALOGUE.values():
        for setting in entry.needs:
            value: Any = config
            for part in setting.split("."):
                assert part in type(value).model_fields, setting
                value = getattr(value, part)


@pytest.mark.parametrize(
    ("name", "rule", "named"),
    [
        ("class_harm", {"requirement": "required", "limit": 0.0}, "the same error rate stands in both"),
        ("accuracy_difference_to_anchor", {"requirement": "required", "limit": -0.02}, "compare: lower"),
    ],
)
def test_a_rule_on_the_comparison_decides_by_what_it_was_made_with(
    name: str, rule: dict[str, Any], named: str
) -> None:
    """A limit that nothing could miss, or the number itself in place of its bound, is another test."""
    with pytest.raises(ValidationError, match=named):
        policy(**{name: rule})


@pytest.mark.parametrize(
    ("off", "rule"),
    [
        ("evaluate.security.audit_advisories=false", "unlisted_advisories"),
        ("evaluate.behaviour.transformations=[]", "invariance"),
        ("evaluate.cost.requests=0", "latency_p99_ms"),
        ("evaluate.robustness.pictures=0", "corruption_relative_accuracy"),
    ],
)
def test_a_required_rule_whose_part_is_off_starts_nothing(off: str, rule: str) -> None:
    """It is wrong use, before hours of training; the message names both ways out."""
    setting = off.partition("=")[0]
    said = re.escape(f"policy.rules.{rule} is required and could never be assessed: {setting} is off")
    with pytest.raises(UsageError, match=said):
        load_config(None, (off,))


@pytest.mark.parametrize(
    ("metric", "subject", "said"),
    [
        ("recall", "trowsers", "which product.classes does not name; did you mean 'trousers'?"),
        ("recall", "lamps", "known are: tops, trousers, dresses, footwear, bags"),
        ("invariance", "mirror", "which evaluate.behaviour.transformations does not name; known are: flip, "),
        ("corruption_relative_accuracy_of", "snow", "evaluate.robustness.corruptions does not name"),
        ("fairness_gap", "region", "evaluate.slices.sensitive does not name; known are: none"),
    ],
)
@pytest.mark.parametrize("requirement", ["required", "advisory"])
def test_a_rule_on_what_nothing_is_measured_of_starts_nothing(
    metric: str, subject: str, said: str, requirement: str
) -> None:
    """A class, a change or a column that is not configured: one line says what there is."""
    rule = f"{{metric: {metric}, subject: {subject}, requirement: {requirement}, limit: 0.9}}"
    with pytest.raises(UsageError, match=re.escape(f"policy.rules.ours.subject is {subject!r}")) as told:
        load_config(PROJECT / "configs" / "demo", (f"policy.rules.ours={rule}",))
    assert said in str(told.value)


def test_a_rule_may_be_on_one_class_alone() -> None:
    """Or on one change, or one sensitive column, beside the rule on all of them."""
    assignments = (
        "evaluate.slices.sensitive=[region]",
        "policy.rules.trousers={metric: recall, subject: trousers, requirement: required, limit: 0.9}",
        "policy.rules.mirrored={metric: invariance, subject: flip, requirement: required, limit: 0.99}",
        "policy.rules.regions={metric: fairness_gap, subject: region, requirement: required, limit: 0.05}",
    )
    rules = load_config(PROJECT / "configs" / "demo", assignments).policy.rules
    named = {name: rule.subject for name, rule in rules.items() if rule.subject is not None}
    assert named == {"trousers": "trousers", "mirrored": "flip", "regions": "region"}
    assert rules["recall"].limit == 0.8
