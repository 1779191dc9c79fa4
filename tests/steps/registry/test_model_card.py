"""The card of a version from its evidence: what it was compared with, and where it is weak."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from materializers.evaluation.comparison import Comparison
from materializers.evaluation.metric import Metric
from materializers.evaluation.robustness import AtSeverity, Attacked, Corrupted, Robustness
from materializers.evaluation_report import EvaluationReport
from materializers.evidence import RegisteredVersion
from materializers.model_card import ModelCard
from materializers.verdict import Verdict
from steps.registry.model_card import STANDING_LIMITS, make_card
from tests.materializers.examples import classifier, evaluation_report, rule, splits, verdict


def share(value: float | None) -> Metric:
    """A number of 200 pictures."""
    return Metric(value=value, n=200)


def corrupted(name: str, *kept: float | None) -> Corrupted:
    """What it keeps of its accuracy under a corruption, by severity from 1 on."""
    severities = tuple(
        AtSeverity(severity=severity, accuracy=share(value), relative_accuracy=share(value))
        for severity, value in enumerate(kept, 1)
    )
    return Corrupted(corruption=name, relative_accuracy=share(0.5), severities=severities)


def attacked(name: str, right: float, *, changed: float = 0.5) -> Attacked:
    """What is right under an attack, and how many answers it changed."""
    return Attacked(
        attack=name,
        epsilon_255=2,
        accuracy=share(right),
        answers_changed=share(changed),
        pictures_changed=share(1.0),
    )


def card(folder: Path, report: EvaluationReport, judged: Verdict) -> ModelCard:
    """The card of version 1."""
    entry = RegisteredVersion(
        model_name="product-classifier",
        version=1,
        created=datetime(2026, 11, 29, tzinfo=UTC),
        aliases=(),
        tags={"source_name": "shop"},
    )
    record = classifier(folder).record
    return make_card(entry, record, report, judged, splits(), purpose="Sorts product photographs.")


def limits(folder: Path, judged: Verdict, robustness: Robustness | None = None) -> tuple[str, ...]:
    """What the card says beside what holds for every model."""
    report = evaluation_report().model_copy(update={"robustness": robustness})
    said = card(folder, report, judged).limits
    assert said[: len(STANDING_LIMITS)] == STANDING_LIMITS
    return said[len(STANDING_LIMITS) :]


def test_the_card_names_what_the_model_was_compared_with(tmp_path: Path) -> None:
    """The champion by its version, the baseline of a first version by the class that it answers."""
    for number, (comparison, said) in enumerate(
        (
            (Comparison(version="7"), "the champion, version 7"),
            (
                Comparison(against="majority class", always_answered="bags"),
                "a baseline that always answers bags",
            ),
        )
    ):
        report = evaluation_report().model_copy(update={"champion": comparison})
        assert card(tmp_path / str(number), report, verdict()).compared_with == said


def test_what_is_advised_and_not_met_is_a_limit(tmp_path: Path) -> None:
    """With its number and what is advised; what is required, and what is met, is not repeated."""
    judged = verdict(
        rule(0.95),
        rule(0.7, rule="recall", subject="tops"),
        rule(0.62, 0.8, rule="far_ood_auroc", requirement="advisory"),
        rule(0.9, 0.7, rule="near_ood_auroc", requirement="advisory"),
        rule(None, 0.6, rule="directional_covering", requirement="advisory", reason="it is off"),
        *(rule(None, 0.02, rule="class_harm", subject=name, reason="9 rows") for name in ("bags", "tops")),
        outcome="refused",
    )
    assert limits(tmp_path, judged) == (
        "Advised and not met: far ood auroc is 0.62, advised is >= 0.8.",
        "Not assessed: directional covering (it is off).",
        "Not assessed: class harm of bags and of 1 more (9 rows).",
    )


def test_corruptions_that_break_the_model_are_limits(tmp_path: Path) -> None:
    """Those below the limit of their mean, each at its worst severity, the worst first; the worst attack."""
    judged = verdict(rule(0.75, 0.7, rule="corruption_relative_accuracy"))
    robustness = Robustness(
        corruptions=(
            corrupted("noise", 0.9, 0.65, 0.69),
            corrupted("fog", 0.8, 0.312),
            corrupted("jpeg", 0.99, 0.7),
            corrupted("rotation", None),
        ),
        attacks=(attacked("FGSM", 0.4), attacked("PGD", 0.125)),
    )
    assert limits(tmp_path, judged, robustness) == (
        "On corrupted pictures it keeps less of its accuracy, at worst 31.2 % under fog of severity 2, 65 % "
        "under noise of severity 2.",
        "Of pictures changed to mislead it (PGD 2/255) it answers 12.5 % right.",
    )


def test_the_worst_corruption_is_named_where_none_breaks_the_model(tmp_path: Path) -> None:
    """Also where the policy has no rule on them; nothing of an attack that misleads nobody, or of nothing."""
    robustness = Robustness(
        corruptions=(corrupted("jpeg", 0.95), corrupted("blur", 0.9, 0.81)),
        attacks=(attacked("FGSM", 0.95, changed=0.0),),
    )
    (said,) = limits(tmp_path / "a", verdict(), robustness)
    assert said.endswith("at worst 81 % under blur of severity 2.")
    assert limits(tmp_path / "b", verdict(), Robustness(not_assessed="it is off")) == ()
