"""Apply the policy to a model's numbers. What cannot be assessed is never taken as passed."""

from __future__ import annotations

import math
from typing import Annotated

from zenml import step

from materializers.classifier import Classifier, TrainingRecord
from materializers.data_report import DataReport
from materializers.evaluation.metric import Metric
from materializers.evaluation_report import EvaluationReport
from materializers.verdict import Direction, EvidenceDigests, RuleResult, Verdict, derive_outcome, judge
from steps.evaluation.policy import LatencyRule, PassedRule, Policy, ShareRule

ABSENT = "absent"
"""Stands in a verdict for the digest of evidence that there is none of."""


def apply_policy(
    policy: Policy,
    evaluation: EvaluationReport | None,
    data_report: DataReport | None,
    record: TrainingRecord | None,
    *,
    classes: tuple[str, ...],
) -> tuple[RuleResult, ...]:
    """Apply every rule of the policy.

    Args:
        policy: the limits.
        evaluation: the model's numbers, or None where there are none.
        data_report: the checks of the data that it learnt from, or None where there is none.
        record: how it was made, or None where that is not to be said.
        classes: each has a result for precision and one for recall.

    Returns:
        In the policy's order. What was not measured, or is no finite number, is ``not_assessed``.
    """
    rules = policy.rules
    overall = {name: getattr(evaluation, name, None) for name in ("accuracy", "f1_macro", "roc_auc_macro")}
    per_class = evaluation.per_class if evaluation is not None else {}
    results = [
        _result("data_validation", rules.data_validation, _validated(data_report)),
        _learnt(rules.learning, record),
        _result("accuracy", rules.accuracy, overall["accuracy"]),
    ]
    for name, rule in (("precision", rules.precision), ("recall", rules.recall)):
        results += [_result(name, rule, getattr(per_class.get(one), name, None), one) for one in classes]
    results += [
        _result("f1_macro", rules.f1_macro, overall["f1_macro"]),
        _result("roc_auc_macro", rules.roc_auc_macro, overall["roc_auc_macro"]),
        _result("latency_p99_ms", rules.latency_p99_ms, _latency(evaluation), direction="<="),
    ]
    return tuple(results)


def mismatch(
    record: TrainingRecord, evaluation: EvaluationReport | None, data_report: DataReport | None
) -> str | None:
    """Why these reports say nothing about this model, or None where they are its own."""
    if evaluation is None:
        return "there is no evaluation report"
    if data_report is None:
        return "there is no data report"
    pairs = {
        "evaluation report is about model": (evaluation.model, record.model_digest),
        "evaluation report is about dataset": (evaluation.data, record.data),
        "evaluation report is about splits": (evaluation.splits, record.splits),
        "data report is about dataset": (data_report.data, record.data),
    }
    for what, (found, wanted) in pairs.items():
        if found != wanted:
            return f"the {what} {found[:12]}, the model present has {wanted[:12]}"
    if evaluation.classes != record.classes:
        return f"the evaluation report has classes {list(evaluation.classes)}, not {list(record.classes)}"
    return None


def reach_verdict(
    record: TrainingRecord,
    evaluation: EvaluationReport | None,
    data_report: DataReport | None,
    *,
    model_name: str,
    policy: Policy,
    code: str,
) -> Verdict:
    """The verdict on one model. Reports about another model or other data are not assessed at all."""
    reason = mismatch(record, evaluation, data_report)
    if reason is None:
        results = apply_policy(policy, evaluation, data_report, record, classes=record.classes)
    else:
        unassessed = apply_policy(policy, None, None, None, classes=record.classes)
        results = tuple(result.model_copy(update={"reason": reason}) for result in unassessed)
    return Verdict(
        model_name=model_name,
        outcome=derive_outcome(results),
        compared=policy.compare,
        rules=results,
        evidence=EvidenceDigests(
            model=record.model_digest,
            report=evaluation.digest if evaluation is not None else ABSENT,
            policy=policy.digest,
            data=record.data,
            code=code,
        ),
    )


def _result(
    name: str,
    rule: ShareRule | LatencyRule | PassedRule,
    metric: Metric | None,
    subject: str | None = None,
    *,
    direction: Direction = ">=",
) -> RuleResult:
    value = metric.value if metric is not None else None
    measured = value if value is not None and math.isfinite(value) else None
    known = metric if metric is not None and measured is not None else None
    interval = None
    if known is not None and known.low is not None and known.high is not None:
        interval = (known.low, known.high)
    return RuleResult(
        rule=name,
        subject=subject,
        requirement=rule.requirement,
        direction=direction,
        limit=rule.limit,
        measured=measured,
        interval=interval,
        n=metric.n if metric is not None else None,
        outcome=judge(measured, rule.limit, direction),
        reason=None if measured is not None else _why_not(name, metric),
    )


def _why_not(name: str, metric: Metric | None) -> str:
    if metric is None:
        return "it was not measured"
    if metric.n == 0:
        return "the class was never predicted" if name == "precision" else "no test picture"
    return "it is not defined on this test set"


def _validated(report: DataReport | None) -> Metric | None:
    """1 when the data passed, else 0; a report that says passed and has a check that refused did not."""
    if report is None:
        return None
    passed = report.outcome == "passed" and not report.reasons()
    return Metric(value=float(passed), low=None, high=None, n=report.rows)


def _learnt(rule: PassedRule, record: TrainingRecord | None) -> RuleResult:
    """1 when the training was not given up, else 0 and why."""
    given_up = record.failure if record is not None else None
    metric = (
        None
        if record is None
        else Metric(value=float(given_up is None), low=None, high=None, n=len(record.epochs))
    )
    result = _result("learning", rule, metric)
    return result if given_up is None else result.model_copy(update={"reason": given_up})


def _latency(evaluation: EvaluationReport | None) -> Metric | None:
    if evaluation is None:
        return None
    return Metric(value=evaluation.latency.p99_ms, low=None, high=None, n=evaluation.latency.n)


@step
def gate(
    classifier: Classifier | None,
    evaluation: EvaluationReport | None,
    data_report: DataReport | None,
    model_name: str,
    policy: Policy,
    code: str,
) -> Annotated[Verdict | None, "verdict"]:
    """Judge the model; no model, no verdict."""
    if classifier is None:
        return None
    return reach_verdict(
        classifier.record, evaluation, data_report, model_name=model_name, policy=policy, code=code
    )
