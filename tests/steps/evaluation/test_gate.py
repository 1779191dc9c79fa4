"""The gate: every rule refuses alone, and what cannot be assessed is never passed."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
from zenml.client import Client

from materializers.classifier import Classifier, TrainingRecord
from materializers.data_report import Check, DataReport
from materializers.errors import UsageError
from materializers.evaluation.comparison import Comparison
from materializers.evaluation.metric import Measured, Metric
from materializers.evaluation_report import ClassMetrics, EvaluationReport, Latency
from materializers.model_signature import verify_model
from materializers.signatures import GATE_KEY
from materializers.splits import Splits
from materializers.verdict import Opponent, RuleResult, Verdict, derive_outcome, verify_verdict
from pipelines.config import load_config
from pipelines.session import prepare
from steps.deployment.deployer import active_deployer
from steps.evaluation.catalogue import CATALOGUE
from steps.evaluation.evaluate import examine, report_on
from steps.evaluation.gate import apply_policy, collect, gate, reach_verdict, signing
from steps.evaluation.policy import Policy, Rule
from tests.keys import ACTOR, GATE, TRUSTED
from tests.shrunk.delivery import SHRUNK_CONFIG
from tests.steps.evaluation.policies import product_policy
from tests.steps.training.examples import dataset, splits, trained

CLASSES = ("bags", "tops")
MODEL, DATA, SPLITS, CODE = "1" * 64, "2" * 64, "3" * 64, "4" * 64
PRODUCT = product_policy()
OF_THE_TEST_SET = (
    "data_validation",
    "learning",
    "accuracy",
    "precision",
    "recall",
    "f1_macro",
    "roc_auc_macro",
    "latency_p99_ms",
)
POLICY = PRODUCT.model_copy(update={"rules": {name: PRODUCT.rules[name] for name in OF_THE_TEST_SET}})
"""The rules on numbers that :func:`evaluation` has."""
SIGNED = Measured(metric="signature_valid", value=Metric(value=1.0, n=1))
RECORD = TrainingRecord(
    architecture="small_cnn",
    classes=CLASSES,
    threads=2,
    seed=0,
    data=DATA,
    splits=SPLITS,
    configuration="5" * 64,
    code=CODE,
    model_digest=MODEL,
    best_epoch=1,
    epochs=(),
)


def metric(value: float | None, n: int = 90) -> Metric:
    return Metric(value=value, low=None, high=None, n=n)


def evaluation(
    precision: dict[str, Metric] | None = None, recall: dict[str, Metric] | None = None, **changes: Any
) -> EvaluationReport:
    """A report that every rule passes, but for the changes."""
    good: dict[str, Any] = {
        "model": MODEL,
        "data": DATA,
        "splits": SPLITS,
        "n": 180,
        "accuracy": Metric(value=0.93, low=0.9, high=0.96, n=180),
        "f1_macro": metric(0.93),
        "roc_auc_macro": metric(0.99),
        "per_class": {
            name: ClassMetrics(
                precision=(precision or {}).get(name, metric(0.92)),
                recall=(recall or {}).get(name, metric(0.94)),
                f1_score=metric(0.93),
            )
            for name in CLASSES
        },
        "classes": CLASSES,
        "confusion": ((84, 6), (7, 83)),
        "latency": Latency(p50_ms=1.0, p99_ms=2.0, n=300),
        "model_bytes": 1000,
        "set_aside": 0,
    }
    return EvaluationReport(**(good | changes))


def data_report(**changes: Any) -> DataReport:
    """A report of data that passed, but for the changes."""
    good: dict[str, Any] = {
        "outcome": "passed",
        "source_name": "sample",
        "data": DATA,
        "rows": 1200,
        "accepted": 1200,
        "per_class": dict.fromkeys(CLASSES, 600),
        "checks": (Check(name="rows", outcome="passed", measured=1200, limit=100, reason="enough"),),
        "set_aside": (),
        "duplicates": 0,
    }
    return DataReport(**(good | changes))


def judged(
    report: EvaluationReport | None, data: DataReport | None = None, policy: Policy = POLICY
) -> Verdict:
    return reach_verdict(
        RECORD,
        report,
        data if data is not None else data_report(),
        model_name="product-classifier",
        policy=policy,
        code=CODE,
        signing=SIGNED,
    )


def failing(verdict: Verdict) -> list[str]:
    return [rule.name for rule in verdict.rules if rule.outcome != "passed"]


def test_a_good_model_passes_with_every_value_and_limit() -> None:
    """Each rule has its number beside its limit, per class where it is one, and all evidence is named."""
    report = evaluation()
    verdict = judged(report)
    assert verdict.outcome == "passed"
    shown = {
        rule.name: (rule.measured, rule.direction, rule.limit, rule.requirement) for rule in verdict.rules
    }
    assert shown == {
        "data_validation": (1.0, ">=", 1.0, "required"),
        "learning": (1.0, ">=", 1.0, "required"),
        "accuracy": (0.93, ">=", 0.85, "required"),
        "precision of bags": (0.92, ">=", 0.80, "required"),
        "precision of tops": (0.92, ">=", 0.80, "required"),
        "recall of bags": (0.94, ">=", 0.80, "required"),
        "recall of tops": (0.94, ">=", 0.80, "required"),
        "f1_macro": (0.93, ">=", 0.80, "required"),
        "roc_auc_macro": (0.99, ">=", 0.85, "advisory"),
        "latency_p99_ms": (2.0, "<=", 500.0, "required"),
    }
    assert verdict.rules[2].interval == (0.9, 0.96)
    assert (verdict.rules[2].n, verdict.compared) == (180, "rule")
    evidence = verdict.evidence
    assert (evidence.model, evidence.report) == (MODEL, report.digest)
    assert (evidence.policy, evidence.data, evidence.code) == (POLICY.digest, DATA, CODE)
    verify_verdict(verdict, model_digest=MODEL, recorded={"registry": verdict.digest})


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("accuracy", {"accuracy": metric(0.8499)}),
        ("precision of tops", {"precision": {"tops": metric(0.7999)}}),
        ("recall of bags", {"recall": {"bags": metric(0.7999)}}),
        ("f1_macro", {"f1_macro": metric(0.7999)}),
        ("latency_p99_ms", {"latency": Latency(p50_ms=1.0, p99_ms=500.1, n=300)}),
    ],
)
def test_each_required_rule_refuses_alone(name: str, changes: dict[str, Any]) -> None:
    """One number beyond its limit, all others good: refused, with that rule as the reason."""
    verdict = judged(evaluation(**changes))
    assert verdict.outcome == "refused"
    assert failing(verdict) == [name]
    assert verdict.reasons()[0].startswith(f"{name}: ")


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": "refused"},
        {"checks": (Check(name="rows", outcome="refused", measured=9, limit=100, reason="too few"),)},
    ],
)
def test_data_that_validation_refused_refuses_the_model(changes: dict[str, Any]) -> None:
    """The outcome or any single check is enough."""
    verdict = judged(evaluation(), data_report(**changes))
    assert verdict.outcome == "refused"
    assert failing(verdict) == ["data_validation"]


def test_a_training_that_was_given_up_refuses_the_model() -> None:
    """However good its numbers are; the reason is the training's own sentence."""
    record = RECORD.model_copy(update={"failure": "epoch 2: the training loss is nan"})
    verdict = reach_verdict(
        record,
        evaluation(),
        data_report(),
        model_name="product-classifier",
        policy=POLICY,
        code=CODE,
        signing=SIGNED,
    )
    assert verdict.outcome == "refused"
    assert verdict.reasons() == ["learning: 0, limit >= 1 (epoch 2: the training loss is nan)"]


def test_a_value_at_its_limit_passes() -> None:
    """Limits are inclusive."""
    verdict = judged(evaluation(accuracy=metric(0.85), latency=Latency(p50_ms=1, p99_ms=500.0, n=300)))
    assert verdict.outcome == "passed"


def test_an_advisory_rule_is_shown_and_does_not_refuse() -> None:
    """A low ROC-AUC is in the verdict, which passes."""
    verdict = judged(evaluation(roc_auc_macro=metric(0.5)))
    assert verdict.outcome == "passed"
    assert failing(verdict) == ["roc_auc_macro"]


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("precision of tops", {"precision": {"tops": metric(None, n=0)}}, "never predicted"),
        ("recall of tops", {"recall": {"tops": metric(None, n=0)}}, "no test picture"),
        ("accuracy", {"accuracy": metric(None)}, "not defined"),
        ("accuracy", {"accuracy": metric(math.nan)}, "not defined"),
        ("f1_macro", {"f1_macro": metric(math.inf)}, "not defined"),
        ("latency_p99_ms", {"latency": Latency(p50_ms=1, p99_ms=math.nan, n=300)}, "not defined"),
    ],
)
def test_a_required_number_that_is_not_there_does_not_pass(
    name: str, changes: dict[str, Any], reason: str
) -> None:
    """No value, NaN and infinity are not assessed, and a model with such a rule is not released."""
    verdict = judged(evaluation(**changes))
    assert verdict.outcome == "not_assessed"
    (rule,) = [rule for rule in verdict.rules if rule.outcome != "passed"]
    assert (rule.name, rule.outcome, rule.measured) == (name, "not_assessed", None)
    assert reason in (rule.reason or "")


def test_a_test_set_without_a_class_refuses_the_model(tmp_path: Path) -> None:
    """Its recall and the means over all classes are unknown, and no number of the others makes up for it."""
    pictures = dataset()
    whole = splits(pictures).members
    groups = Splits(members=whole[(whole["split"] != "test") | (whole["label"] != "striped")])
    classifier = trained(tmp_path, epochs=6, learning_rate=0.01)
    quick = load_config(SHRUNK_CONFIG, ()).evaluate
    report = report_on(examine(classifier, pictures, groups, quick), groups, quick)
    record = classifier.record.model_copy(update={"splits": groups.digest})
    policy = Policy.model_validate(
        {"rules": {name: {"requirement": "required", "limit": 0.0} for name in ("recall", "f1_macro")}}
    )
    verdict = reach_verdict(
        record,
        report,
        data_report(data=record.data),
        model_name="product-classifier",
        policy=policy,
        code=CODE,
        signing=SIGNED,
    )
    assert verdict.outcome == "not_assessed"
    assert verdict.reasons() == [
        "recall of striped: not assessed, limit >= 0 (no test picture)",
        "f1_macro: not assessed, limit >= 0 (it is not defined on this test set)",
    ]


def test_a_class_that_the_report_leaves_out_is_not_assessed() -> None:
    """A report cannot pass a class by not naming it."""
    report = evaluation()
    partial = evaluation(per_class={"bags": report.per_class["bags"]})
    verdict = judged(partial)
    assert verdict.outcome == "not_assessed"
    assert failing(verdict) == ["precision of tops", "recall of tops"]


@pytest.mark.parametrize(
    ("report", "data", "named"),
    [
        (evaluation(model="9" * 64), None, "is about model 999"),
        (evaluation(data="9" * 64), None, "is about dataset 999"),
        (evaluation(splits="9" * 64), None, "is about splits 999"),
        (evaluation(classes=("bags", "shoes")), None, "has classes"),
        (evaluation(), data_report(data="9" * 64), "data report is about dataset 999"),
        (None, None, "no evaluation report"),
    ],
)
def test_reports_about_something_else_assess_nothing(
    report: EvaluationReport | None, data: DataReport | None, named: str
) -> None:
    """Good numbers of another model, other data or other splits pass no rule at all."""
    verdict = judged(report, data)
    assert verdict.outcome == "not_assessed"
    assert {rule.outcome for rule in verdict.rules} == {"not_assessed"}
    assert {rule.measured for rule in verdict.rules} == {None}
    assert all(named in (rule.reason or "") for rule in verdict.rules)


def test_a_missing_data_report_assesses_nothing() -> None:
    """Nobody knows whether the data was any good."""
    verdict = reach_verdict(
        RECORD, evaluation(), None, model_name="product-classifier", policy=POLICY, code=CODE, signing=SIGNED
    )
    assert verdict.outcome == "not_assessed"
    assert verdict.reasons()[0].endswith("(there is no data report)")


def test_a_policy_that_requires_nothing_releases_nothing() -> None:
    """With every rule advisory, which no configuration may say, there is no verdict that passes."""
    rules = {name: rule.model_copy(update={"requirement": "advisory"}) for name, rule in POLICY.rules.items()}
    policy = POLICY.model_copy(update={"rules": rules})
    assert judged(evaluation(), policy=policy).outcome == "not_assessed"


def test_the_outcome_can_be_derived_again_from_the_stored_verdict() -> None:
    """JSON and back, the numbers alone give the same outcome and digest."""
    verdict = judged(evaluation(accuracy=metric(0.5)))
    stored = Verdict.model_validate_json(verdict.model_dump_json())
    assert derive_outcome(stored.rules) == stored.outcome == "refused"
    assert stored.digest == verdict.digest


def one_rule(measured: Measured, **changes: Any) -> RuleResult:
    """The result of one required rule on one number."""
    rule = {"requirement": "required", "limit": 0.8, **changes}
    policy = Policy.model_validate({"rules": {measured.metric: rule}})
    (result,) = apply_policy(policy, {measured.metric: [measured]})
    return result


def test_a_metric_that_nobody_measured_is_not_assessed() -> None:
    """A report without the part that a required rule is about passes nothing."""
    (result,) = apply_policy(
        Policy.model_validate({"rules": {"coverage": {"requirement": "required", "limit": 0.5}}}), {}
    )
    assert (result.outcome, result.measured, result.reason) == ("not_assessed", None, "it was not measured")


@pytest.mark.parametrize(
    ("compare", "metric", "limit", "outcome"),
    [
        ("point", "accuracy", 0.85, "passed"),
        ("lower", "accuracy", 0.85, "refused"),
        ("lower", "accuracy", 0.80, "passed"),
        ("upper", "fairness_gap", 0.95, "passed"),
        ("upper", "fairness_gap", 0.94, "refused"),
        ("lower", "fairness_gap", 0.82, "passed"),
    ],
)
def test_a_rule_compares_what_it_says(compare: str, metric: str, limit: float, outcome: str) -> None:
    """0.9 [0.82, 0.95] passes or not by the number or the bound that the rule names."""
    number = Measured(metric=metric, value=Metric(value=0.9, low=0.82, high=0.95, n=100))
    result = one_rule(number, compare=compare, limit=limit)
    assert (result.outcome, result.measured) == (outcome, 0.9)
    assert derive_outcome([result]) == outcome


def test_a_bound_that_is_not_there_is_not_assessed() -> None:
    """A number without its interval does not pass a rule that compares a bound."""
    result = one_rule(Measured(metric="accuracy", value=metric(0.99)), compare="lower")
    assert result.outcome == derive_outcome([result]) == "not_assessed"
    assert "interval" in (result.reason or "")


def test_too_few_rows_are_not_assessed() -> None:
    """However good the number is; with one row more it is judged."""
    number = Measured(metric="accuracy", value=metric(1.0, n=49))
    few = one_rule(number, min_n=50)
    assert few.outcome == derive_outcome([few]) == "not_assessed"
    assert few.reason == "49 rows are too few: at least 50"
    assert one_rule(number, min_n=49).outcome == "passed"


def test_what_is_spared_is_listed_and_decides_nothing() -> None:
    """A class that is too small to be compared is shown, and advises; a missing number refuses."""
    small = Measured(metric="class_harm", subject="bags", value=None, reason="49 rows", spared=True)
    spared, missing = (
        one_rule(small.model_copy(update={"spared": alone}), limit=0.025) for alone in (True, False)
    )
    assert (spared.outcome, spared.requirement, spared.reason) == ("not_assessed", "advisory", "49 rows")
    assert (missing.outcome, missing.requirement) == ("not_assessed", "required")


def test_a_rule_on_one_class_judges_that_class_alone() -> None:
    """Beside the rule on all of them; a class that nobody measured is not assessed, and refuses."""
    stricter = {"metric": "recall", "subject": "tops", "requirement": "required", "limit": 0.95}
    rules = {name: POLICY.rules[name].model_dump() for name in ("accuracy", "recall")}
    policy = Policy.model_validate({"rules": {**rules, "tops": stricter}})
    verdict = judged(evaluation(), policy=policy)
    assert failing(verdict) == ["tops of tops"]
    assert verdict.reasons() == ["tops of tops: 0.94, limit >= 0.95"]
    assert judged(evaluation(recall={"tops": metric(0.96)}), policy=policy).outcome == "passed"

    unknown = Policy.model_validate({"rules": {**rules, "shoes": {**stricter, "subject": "shoes"}}})
    verdict = judged(evaluation(), policy=unknown)
    assert (verdict.outcome, failing(verdict)) == ("not_assessed", ["shoes of shoes"])
    assert verdict.rules[-1].reason == "it was not measured"


def test_a_rule_on_a_part_that_was_not_measured_gives_its_reason() -> None:
    """The reason that stands for all of them."""
    rule = {"subject": "fog", "requirement": "required", "limit": 0.5}
    policy = Policy.model_validate({"rules": {"corruption_relative_accuracy_of": rule}})
    missing = Measured(metric="corruption_relative_accuracy_of", value=None, reason="no picture is right")
    (result,) = apply_policy(policy, {missing.metric: [missing]})
    assert (result.name, result.outcome) == ("corruption_relative_accuracy_of of fog", "not_assessed")
    assert result.reason == "no picture is right"


def good(rule: Rule) -> Metric:
    """A number that the rule is met by, whatever of it is compared."""
    return Metric(value=rule.limit, low=rule.limit, high=rule.limit, n=1000)


def beyond(rule: Rule) -> Metric:
    """A number that is just beyond the limit."""
    step = -1e-9 if rule.entry.direction == ">=" else 1e-9
    value = rule.limit + step
    return Metric(value=value, low=value, high=value, n=1000)


def evidence(**changes: Measured) -> dict[str, list[Measured]]:
    """Numbers that meet every rule of the product, but for those that are given by the rule's name."""
    rules = PRODUCT.rules
    met = {name: Measured(metric=rule.metric, value=good(rule)) for name, rule in rules.items()}
    return {rules[name].metric: [measured] for name, measured in (met | changes).items()}


def outcome_of(**changes: Measured) -> tuple[str, list[str]]:
    """What the product's policy makes of these numbers, and the rules that did not pass."""
    results = apply_policy(PRODUCT, evidence(**changes))
    return derive_outcome(results), [result.rule for result in results if result.outcome != "passed"]


REQUIRED = [name for name, rule in PRODUCT.rules.items() if rule.requirement == "required"]
ADVISORY = [name for name, rule in PRODUCT.rules.items() if rule.requirement == "advisory"]


def test_a_model_at_every_limit_passes() -> None:
    """Limits are inclusive, all of them."""
    assert outcome_of() == ("passed", [])


@pytest.mark.parametrize("name", REQUIRED)
def test_each_required_rule_of_the_product_refuses_alone(name: str) -> None:
    """A hair beyond its limit, with everything else in order, and when it was not measured."""
    rule = PRODUCT.rules[name]
    worse = Measured(metric=rule.metric, value=beyond(rule))
    assert outcome_of(**{name: worse}) == ("refused", [name])
    missing = Measured(metric=rule.metric, value=None, reason="switched off")
    assert outcome_of(**{name: missing}) == ("not_assessed", [name])


@pytest.mark.parametrize("name", ADVISORY)
def test_each_advisory_rule_of_the_product_is_shown_and_refuses_nothing(name: str) -> None:
    """A hair beyond its limit."""
    rule = PRODUCT.rules[name]
    worse = Measured(metric=rule.metric, value=beyond(rule))
    assert outcome_of(**{name: worse}) == ("passed", [name])


def test_a_gate_with_another_key_than_the_stacks_refuses() -> None:
    """What it signs would hold nowhere, and both keys are named."""
    own = signing(GATE, TRUSTED)
    assert own.value is not None
    assert own.value.value == 1
    other = signing(ACTOR.key, TRUSTED)
    assert outcome_of(signature_valid=other) == ("refused", ["signature_valid"])
    assert re.search("signs with key [0-9a-f]{12}, the stack file names [0-9a-f]{12}", other.reason or "")


def test_every_metric_of_a_report_is_one_that_a_policy_can_name() -> None:
    """Nothing is measured under a name that no rule could have."""
    assert set(collect(evaluation(), data_report(), RECORD, SIGNED)) <= set(CATALOGUE)


def test_no_model_is_no_verdict(local_stack: Client, tmp_path: Path) -> None:
    """A skipped training is not judged; a model is, and signed with its verdict."""
    given = (evaluation(), data_report(), "product-classifier", POLICY, CODE)
    assert gate.entrypoint(None, *given) == (None, None)
    prepare(stack=None)
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving" / "model.onnx").write_bytes(b"weights")
    verdict, signature = gate.entrypoint(Classifier(tmp_path, RECORD), *given)
    assert verdict == judged(evaluation())
    own = active_deployer().trusted_keys()
    verify_model(tmp_path / "serving", verdict, signature, own)


def test_without_the_gates_key_there_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that could be released comes of it, and the message says how to get a key."""
    monkeypatch.delenv(GATE_KEY, raising=False)
    with pytest.raises(UsageError, match="SHUTTERLINE_GATE_KEY names no private key; make stack"):
        gate.entrypoint(
            Classifier(tmp_path, RECORD), evaluation(), data_report(), "product-classifier", POLICY, CODE
        )


def test_a_verdict_names_the_champion_that_it_was_reached_beside() -> None:
    """Its version and its model; a baseline, or a report without a comparison, is no champion."""
    compared = Comparison(against="champion", version="3", model="9" * 64)
    assert judged(evaluation(champion=compared)).champion == Opponent(version=3, model="9" * 64)
    assert judged(evaluation(champion=Comparison(against="majority class"))).champion is None
    assert judged(evaluation()).champion is None
    assert judged(None).champion is None
