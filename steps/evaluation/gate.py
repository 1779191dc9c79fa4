"""Apply the policy to a model's numbers. What cannot be assessed is never taken as passed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

from zenml import step

from materializers.classifier import Classifier, TrainingRecord
from materializers.data_report import DataReport
from materializers.evaluation.metric import Measured, Metric
from materializers.evaluation_report import EvaluationReport
from materializers.signatures import GATE_KEY, PrivateKey, TrustedKeys, fingerprint, public_keys
from materializers.verdict import EvidenceDigests, Opponent, RuleResult, Verdict, derive_outcome, judge
from steps.deployment.deployer import active_deployer
from steps.evaluation.policy import Policy, Rule

ABSENT = "absent"
"""Stands in a verdict for the digest of evidence that there is none of."""


def apply_policy(policy: Policy, evidence: Mapping[str, Sequence[Measured]]) -> tuple[RuleResult, ...]:
    """Apply every rule of the policy.

    Args:
        policy: the limits.
        evidence: what was measured, by metric; each subject of a metric has an entry of its own.

    Returns:
        In the policy's order, one result a subject, or the one of the subject that a rule names. What was
        not measured, is no finite number or has too few rows, is ``not_assessed``.
    """
    return tuple(
        _result(name, rule, measured)
        for name, rule in policy.rules.items()
        for measured in _judged_by(rule, evidence.get(rule.metric, ()))
    )


def _judged_by(rule: Rule, found: Sequence[Measured]) -> Sequence[Measured]:
    """What a rule is on, of all that was found of its metric; a number that is missing where that is none."""
    if rule.subject is None:
        return found or (Measured(metric=rule.metric, value=None),)
    own = [each for each in found if each.subject == rule.subject]
    # Where nothing of the kind was measured, one entry without a subject says why.
    why = next((each.reason for each in found if each.subject is None and each.value is None), None)
    return own or (Measured(metric=rule.metric, subject=rule.subject, value=None, reason=why),)


def collect(
    evaluation: EvaluationReport, data_report: DataReport, record: TrainingRecord, signed: Measured
) -> dict[str, list[Measured]]:
    """Everything that was measured of a model, by metric."""
    found: dict[str, list[Measured]] = {}
    for measured in (_validated(data_report), _learnt(record), *evaluation.measured(), signed):
        found.setdefault(measured.metric, []).append(measured)
    return found


def signing(key: PrivateKey, trusted: TrustedKeys) -> Measured:
    """1 when what this key signs holds under the stack's public keys, else 0.

    The signature itself follows the verdict, which it covers.
    """
    holds = key.public_pem in public_keys(trusted.gate)
    reason = (
        None
        if holds
        else (
            f"the gate signs with key {fingerprint(key.public_pem)}, the stack file names "
            f"{', '.join(map(fingerprint, public_keys(trusted.gate)))}: gate_public_key"
        )
    )
    return Measured(metric="signature_valid", value=Metric(value=float(holds), n=1), reason=reason)


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
    signing: Measured,
) -> Verdict:
    """The verdict on one model. Reports about another model or other data are not assessed at all.

    Args:
        record: of the model's training.
        evaluation: of the model; None where there is none.
        data_report: of what it learnt from; None where there is none.
        model_name: the registered model.
        policy: the rules.
        code: digest of the code.
        signing: whether its signature will hold, as :func:`signing` says.
    """
    reason = mismatch(record, evaluation, data_report)
    if reason is None and evaluation is not None and data_report is not None:
        results = apply_policy(policy, collect(evaluation, data_report, record, signing))
    else:
        results = tuple(result.model_copy(update={"reason": reason}) for result in apply_policy(policy, {}))
    return Verdict(
        model_name=model_name,
        outcome=derive_outcome(results),
        compared="rule",
        rules=results,
        evidence=EvidenceDigests(
            model=record.model_digest,
            report=evaluation.digest if evaluation is not None else ABSENT,
            policy=policy.digest,
            data=record.data,
            code=code,
        ),
        champion=None if evaluation is None else champion_in(evaluation),
    )


def champion_in(evaluation: EvaluationReport) -> Opponent | None:
    """The version in production that a model was compared with; None where nothing was in production."""
    compared = evaluation.champion
    if compared is None or compared.version is None or compared.model is None:
        return None
    return Opponent(version=int(compared.version), model=compared.model)


def _result(name: str, rule: Rule, measured: Measured) -> RuleResult:
    metric, entry = measured.value, rule.entry
    value = metric.value if metric is not None else None
    known = value if value is not None and math.isfinite(value) else None
    result = RuleResult(
        rule=name,
        subject=measured.subject,
        requirement="advisory" if measured.spared else rule.requirement,
        direction=entry.direction,
        limit=rule.limit,
        measured=known,
        interval=metric.interval if metric is not None and known is not None else None,
        n=metric.n if metric is not None else None,
        outcome="not_assessed",
        reason=measured.reason,
        compare=rule.compare,
        min_n=rule.min_n,
    )
    outcome = judge(result.decisive, rule.limit, entry.direction)
    why = measured.reason if outcome != "not_assessed" else _why_not(result, measured)
    return result.model_copy(update={"outcome": outcome, "reason": why})


def _why_not(result: RuleResult, measured: Measured) -> str:
    """Why a rule was not assessed."""
    if measured.reason is not None:
        return measured.reason
    if measured.value is None:
        return "it was not measured"
    if measured.value.n == 0:
        return "the class was never predicted" if measured.metric == "precision" else "no test picture"
    if result.n is not None and result.n < result.min_n:
        return f"{result.n:,} rows are too few: at least {result.min_n:,}"
    if result.measured is not None:
        return "its interval is not defined on this test set"
    return "it is not defined on this test set"


def _validated(report: DataReport) -> Measured:
    """1 when the data passed, else 0; a report that says passed and has a check that refused did not."""
    passed = report.outcome == "passed" and not report.reasons()
    return Measured(metric="data_validation", value=Metric(value=float(passed), n=report.rows))


def _learnt(record: TrainingRecord) -> Measured:
    """1 when the training was not given up, else 0 and why."""
    value = Metric(value=float(record.failure is None), n=len(record.epochs))
    return Measured(metric="learning", value=value, reason=record.failure)


@step(enable_cache=False)  # it signs with the key that is there now
def gate(
    classifier: Classifier | None,
    evaluation: EvaluationReport | None,
    data_report: DataReport | None,
    model_name: str,
    policy: Policy,
    code: str,
) -> tuple[Annotated[Verdict | None, "verdict"], Annotated[str | None, "signature"]]:
    """Judge the model, and sign it with its verdict; no model, no verdict.

    Raises:
        UsageError: there is no key of the gate here.
    """
    if classifier is None:
        return None, None
    from materializers.model_signature import sign_model

    key = PrivateKey.from_environment(GATE_KEY)
    verdict = reach_verdict(
        classifier.record,
        evaluation,
        data_report,
        model_name=model_name,
        policy=policy,
        code=code,
        signing=signing(key, active_deployer().trusted_keys()),
    )
    return verdict, sign_model(classifier.serving_directory, verdict, key)
