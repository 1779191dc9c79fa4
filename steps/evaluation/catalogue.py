"""What a policy can have a rule on: every metric by name, which way it is good, and what its limit may be.

The parts of an evaluation hand their numbers over under these names (``Section.measured``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from materializers.verdict import Direction


@dataclass(frozen=True)
class Entry:
    """One metric.

    Args:
        direction: ``>=``: more is better; ``<=``: less is.
        lowest: the lowest limit that has a meaning.
        highest: the highest one.
        interval: it is measured with a 95 % interval, whose bounds a rule can compare.
        needs: the settings without which nothing measures it, as ``--set`` takes them; none: it always is.
        subjects: the setting that lists what it is measured of, each of which a rule may be on alone; None:
            a rule is on all that there is.
        of_test_pictures: it is measured on pictures of the test set, so that its n is at most their number.
    """

    direction: Direction
    lowest: float = 0.0
    highest: float = 1.0
    interval: bool = True
    needs: tuple[str, ...] = ()
    subjects: str | None = None
    of_test_pictures: bool = True


def _at_least(**known: object) -> Entry:
    return Entry(">=", **known)  # type: ignore[arg-type]


def _at_most(**known: object) -> Entry:
    return Entry("<=", **known)  # type: ignore[arg-type]


_ALWAYS_ONE = {"lowest": 1.0, "interval": False, "of_test_pictures": False}
_ALWAYS_NONE = {"highest": 0.0, "interval": False, "of_test_pictures": False}
_OPEN = {"highest": math.inf}
_P_VALUE = {"interval": False}
_CORRUPTIONS = ("evaluate.robustness.pictures",)
_ATTACKS = (*_CORRUPTIONS, "evaluate.robustness.attacked_pictures")
_EXPLAINED = ("evaluate.explanations.pictures",)
_BEHAVIOUR = ("evaluate.behaviour.pictures",)
_UNKNOWN = {"needs": ("evaluate.unknown.pictures",), "of_test_pictures": False}
_COST = {"needs": ("evaluate.cost.requests",), "of_test_pictures": False}
_SENSITIVE = ("evaluate.slices.sensitive",)
_OF_CLASSES = {"subjects": "product.classes"}
_OF_COLUMNS = {"needs": _SENSITIVE, "subjects": "evaluate.slices.sensitive"}

CATALOGUE: dict[str, Entry] = {
    # what it learnt from, and how
    "data_validation": _at_least(**_ALWAYS_ONE),
    "learning": _at_least(**_ALWAYS_ONE),
    # how often it is right
    "accuracy": _at_least(),
    "top_k_accuracy": _at_least(),
    "precision": _at_least(**_OF_CLASSES),
    "recall": _at_least(**_OF_CLASSES),
    "f1_score": _at_least(**_OF_CLASSES),
    "precision_macro": _at_least(),
    "recall_macro": _at_least(),
    "f1_macro": _at_least(),
    "precision_weighted": _at_least(),
    "recall_weighted": _at_least(),
    "f1_weighted": _at_least(),
    "roc_auc": _at_least(**_OF_CLASSES),
    "roc_auc_macro": _at_least(),
    # whether it knows how sure it is
    "expected_calibration_error": _at_most(),
    "coverage": _at_least(),
    "selective_risk": _at_most(),
    "near_ood_auroc": _at_least(**_UNKNOWN),
    "far_ood_auroc": _at_least(**_UNKNOWN),
    # for whom it is right
    "worst_group_accuracy": _at_least(),
    "accuracy_gap": _at_most(),
    "fairness_gap": _at_most(**_OF_COLUMNS),
    "demographic_parity_difference": _at_most(**_OF_COLUMNS),
    "equalized_odds_difference": _at_most(**_OF_COLUMNS),
    # what it withstands
    "corruption_relative_accuracy": _at_least(needs=_CORRUPTIONS),
    "corruption_relative_accuracy_of": _at_least(
        needs=_CORRUPTIONS, subjects="evaluate.robustness.corruptions"
    ),
    "adversarial_accuracy": _at_least(needs=_ATTACKS),
    # what it looks at
    "explanation_deletion_margin": _at_least(lowest=-1.0, needs=_EXPLAINED),
    "explanation_deletion_margin_grad_cam": _at_least(lowest=-1.0, needs=_EXPLAINED),
    "explanation_weight_randomization": _at_most(lowest=-1.0, needs=_EXPLAINED),
    # how it behaves
    "invariance": _at_least(
        needs=(*_BEHAVIOUR, "evaluate.behaviour.transformations"),
        subjects="evaluate.behaviour.transformations",
    ),
    "directional_covering": _at_least(needs=_BEHAVIOUR),
    "minimum_functionality": _at_least(needs=(*_BEHAVIOUR, "evaluate.behaviour.easy_list")),
    "predicted_classes": _at_least(interval=False, needs=_BEHAVIOUR),
    "same_answer_twice": _at_least(needs=_BEHAVIOUR),
    "same_answer_in_another_batch": _at_least(needs=_BEHAVIOUR),
    # what it costs
    "latency_p50_ms": _at_most(**_OPEN, **_COST),
    "latency_p99_ms": _at_most(**_OPEN, **_COST),
    "request_errors": _at_most(**_COST),
    "throughput_per_s": _at_least(**_OPEN, **_COST),
    "memory_mb": _at_most(**_OPEN, interval=False, **_COST),
    "start_up_s": _at_most(**_OPEN, interval=False, **_COST),
    "cost_per_1000": _at_most(**_OPEN, interval=False, **_COST),
    "model_mb": _at_most(**_OPEN, interval=False, **_COST),
    # whether it can be trusted
    "unexpected_files": _at_most(**_ALWAYS_NONE),
    "signature_valid": _at_least(**_ALWAYS_ONE),
    "unlisted_advisories": _at_most(**_ALWAYS_NONE, needs=("evaluate.security.audit_advisories",)),
    "watermark_matches": _at_least(needs=("train.watermark",), of_test_pictures=False),
    # whether it is as good as what it would replace
    "accuracy_difference_to_champion": _at_least(lowest=-1.0),
    "accuracy_difference_to_anchor": _at_least(lowest=-1.0),
    "dropped_classes": _at_most(**_OPEN, interval=False, of_test_pictures=False),
    "class_harm": _at_least(**_P_VALUE, **_OF_CLASSES),
    "golden_harm": _at_least(**_P_VALUE),
    "new_rows_harm": _at_least(**_P_VALUE),
}
"""Every metric. The three of harm are p-values: the smaller, the surer the harm."""
