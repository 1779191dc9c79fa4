"""Make the model card of a version when it is registered, and again with each decision of a person."""

from __future__ import annotations

import math

from zenml import save_artifact
from zenml.client import Client

from materializers.approval import Approval
from materializers.classifier import TrainingRecord
from materializers.evaluation.robustness import RELATIVE_ACCURACY, Robustness
from materializers.evaluation_report import EvaluationReport
from materializers.evidence import RegisteredVersion, registry_client
from materializers.model_card import CardData, ModelCard
from materializers.report import number, percent, words
from materializers.splits import Splits
from materializers.verdict import RuleResult, Verdict
from steps.tracker import tracker_errors

STANDING_LIMITS = (
    "One label a picture, of these classes alone: a picture of anything else gets one of them too, unless "
    "the model abstains.",
    "Its numbers hold for pictures like those of its data source; other photographers, backgrounds or "
    "seasons were not measured.",
)
"""What holds for every model of this project."""
CARD = "model_card"
"""How its files in the tracker begin."""


def card_artifact(model_name: str, version: int) -> str:
    """The name of the artifact that holds the card of a version, the newest last."""
    return f"{model_name}-{version}-model-card"


def make_card(
    entry: RegisteredVersion,
    record: TrainingRecord,
    evaluation: EvaluationReport,
    verdict: Verdict,
    splits: Splits,
    *,
    purpose: str,
    decisions: tuple[Approval, ...] = (),
) -> ModelCard:
    """The card of a version from its evidence."""
    counts, robustness = splits.counts(), evaluation.robustness
    measured = tuple(evaluation.measured())
    card = ModelCard(
        model_name=entry.model_name,
        version=entry.version,
        purpose=purpose,
        architecture=record.architecture,
        classes=record.classes,
        trained=_trained(record),
        data=CardData(
            version=record.data,
            splits=record.splits,
            source_name=entry.tag("source_name"),
            pictures={
                str(label): {str(name): int(value) for name, value in row.items()}
                for label, row in counts.iterrows()
            },
        ),
        outcome=verdict.outcome,
        compared_with=None if evaluation.champion is None else evaluation.champion.opponent,
        rules=verdict.rules,
        measured=measured,
        limits=(
            *STANDING_LIMITS,
            *_missed_advice(verdict),
            *(_corrupted(robustness, verdict) if robustness else ()),
            *(_attacked(robustness) if robustness else ()),
            *_not_assessed(verdict),
        ),
        digests={
            "model": record.model_digest,
            "verdict": verdict.digest,
            "evaluation report": evaluation.digest,
            "policy": verdict.evidence.policy,
            "data": record.data,
            "splits": record.splits,
            "configuration": record.configuration,
            "code": record.code,
            "lock": record.lock or "none",
        },
    )
    for approval in decisions:
        card = card.with_decision(approval)
    return card


def keep_card(card: ModelCard) -> None:
    """Store a card where the dashboard shows it."""
    save_artifact(card, name=card_artifact(card.model_name, card.version))


def last_card(model_name: str, version: int) -> ModelCard | None:
    """The newest card of a version; None for a version of before there were cards."""
    found = Client().list_artifact_versions(
        artifact=card_artifact(model_name, version), sort_by="desc:created", size=1
    )
    card: ModelCard | None = found.items[0].load() if found.items else None
    return card


def send_card(card: ModelCard, run_id: str) -> None:
    """Put a card into a run of the experiment tracker, in place of the one before.

    Raises:
        ServiceUnreachable: the tracker cannot be written.
    """
    with tracker_errors(f"take the model card of version {card.version}"):
        client = registry_client()
        client.log_text(run_id, card.markdown(), f"{CARD}.md")
        client.log_text(run_id, card.page(), f"{CARD}.html")


def _trained(record: TrainingRecord) -> dict[str, str]:
    known = {
        "architecture": record.architecture,
        "epochs": f"{record.best_epoch} of {len(record.epochs)} kept",
        "seed": str(record.seed),
        "threads": str(record.threads),
        "features computed by": record.runtime,
        "platform": record.platform,
    }
    return {name: value for name, value in known.items() if value is not None}


def _missed_advice(verdict: Verdict) -> list[str]:
    """A sentence for each rule that did not have to hold, and does not."""
    return [
        f"Advised and not met: {words(rule.name)} is {number(rule.measured)}, "
        f"advised is {rule.required_of_it}{f' ({rule.reason})' if rule.reason else ''}."
        for rule in verdict.rules
        if rule.requirement == "advisory" and rule.outcome == "refused"
    ]


def _corrupted(robustness: Robustness, verdict: Verdict) -> list[str]:
    """A sentence on the corruptions under which it keeps less than the policy asks of their mean.

    Each at the severity that costs most; where none breaks it, the worst one.
    """
    asked = next((rule.limit for rule in verdict.rules if rule.rule == RELATIVE_ACCURACY), 0.0)
    worst: dict[str, tuple[float, int]] = {}
    for one in robustness.corruptions:
        for each in one.severities:
            value = each.relative_accuracy.value
            if value is not None and (value, each.severity) < worst.get(one.corruption, (math.inf, 0)):
                worst[one.corruption] = (value, each.severity)
    found = sorted(worst.items(), key=lambda item: item[1])
    shown = [item for item in found if item[1][0] < asked] or found[:1]
    said = ", ".join(f"{percent(kept)} under {words(name)} of severity {at}" for name, (kept, at) in shown)
    return [f"On corrupted pictures it keeps less of its accuracy, at worst {said}."] if said else []


def _attacked(robustness: Robustness) -> list[str]:
    """A sentence on the attack that misleads it most; none where no attack does."""
    misled = [one for one in robustness.attacks if one.answers_changed.value]
    known = [(one.accuracy.value, one.name) for one in misled if one.accuracy.value is not None]
    right, name = min(known, default=(1.0, ""))
    return [f"Of pictures changed to mislead it ({name}) it answers {percent(right)} right."] if known else []


def _not_assessed(verdict: Verdict) -> list[str]:
    """A sentence for each rule that nobody could judge; one for all its classes or groups."""
    found: dict[str, list[RuleResult]] = {}
    for rule in verdict.rules:
        if rule.outcome == "not_assessed":
            found.setdefault(rule.rule, []).append(rule)
    return [
        f"Not assessed: {_named(rules)}{f' ({rules[0].reason})' if rules[0].reason else ''}."
        for rules in found.values()
    ]


def _named(rules: list[RuleResult]) -> str:
    """Results of one rule, by the first of their subjects."""
    others = len(rules) - 1
    return words(rules[0].name) + (f" and of {others:,} more" if others else "")
