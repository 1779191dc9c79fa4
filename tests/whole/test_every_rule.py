"""Every rule of the product's policy refuses by itself, with exit code 3, and what is served goes on.

What takes seconds is off in the shrunk configuration: each test switches on what its rule looks at, with few
pictures, and asks for more than any model gives. Where a number cannot be missed, too few rows are its
evidence, so that the rule is not assessed, and refuses all the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from materializers.signatures import GATE_KEY, make_key_pair
from tests.shrunk.delivery import PROJECT, cut_delivery
from tests.whole.shop import IMPOSSIBLE, REFUSED, SEED_1, Shop, refused_release

WRONG_USE = 2
POLICY: dict[str, Any] = yaml.safe_load((PROJECT / "configs" / "policy.yaml").read_text())["policy"]["rules"]

ROBUSTNESS = "evaluate.robustness={pictures: 10, severities: [5], epsilons_255: [32], pgd_steps: 3}"
EXPLANATIONS = "evaluate.explanations={pictures: 12, randomized_pictures: 1, steps: 4}"
BEHAVIOUR = "evaluate.behaviour={pictures: 20, shift: 0.5, brightness: 0.9}"
COST = "evaluate.cost={requests: 500, seconds_at_offered_rate: 0.5, search_seconds: 0.5, probe_seconds: 0.2}"
PEAK = "evaluate.cost.offered_total_per_s=100.0"
"""Not the limit, which no machine could send."""
UNKNOWN = "evaluate.unknown={pictures: 40, min_pictures: 20}"
ARTICLES = "evaluate.slices={sensitive: [article], min_n: 2}"


def asked(rule: str, **more: object) -> str:
    """The rule, required, with other values."""
    return f"policy.rules.{rule}={json.dumps({'requirement': 'required', **more})}"


MISSED = {
    "accuracy": (IMPOSSIBLE,),
    "precision": (asked("precision", limit=1.0),),
    "recall": (asked("recall", limit=1.0),),
    "f1_macro": (asked("f1_macro", limit=1.0),),
    "roc_auc_macro": (asked("roc_auc_macro", limit=1.0),),
    "fairness_gap": (asked("fairness_gap", limit=0.0, compare="point"), ARTICLES),
    "corruption_relative_accuracy": (asked("corruption_relative_accuracy", limit=1.0), ROBUSTNESS),
    "adversarial_accuracy": (asked("adversarial_accuracy", limit=1.0), ROBUSTNESS),
    "explanation_deletion_margin": (asked("explanation_deletion_margin", limit=1.0), EXPLANATIONS),
    "invariance": (asked("invariance", limit=1.0), BEHAVIOUR),
    "expected_calibration_error": (asked("expected_calibration_error", limit=0.0),),
    "near_ood_auroc": (asked("near_ood_auroc", limit=1.0), UNKNOWN),
    "far_ood_auroc": (asked("far_ood_auroc", limit=1.0), UNKNOWN),
    "latency_p99_ms": (asked("latency_p99_ms", limit=0.0001), COST),
    "throughput_per_s": (asked("throughput_per_s", limit=1e9), COST, PEAK),
    "memory_mb": (asked("memory_mb", limit=0.001), COST),
    "cost_per_1000": (asked("cost_per_1000", limit=0.0), COST),
    "unexpected_files": (
        asked("unexpected_files", min_n=1),
        "evaluate.security.operator_domains=[nobody.knows]",
    ),
}
"""A limit that no model meets, or a model that breaks the one there is."""
MISSED_TOGETHER = (
    ("accuracy",),
    (
        *("precision", "recall", "f1_macro", "roc_auc_macro", "expected_calibration_error"),
        *("fairness_gap", "unexpected_files"),
    ),
    ("corruption_relative_accuracy", "adversarial_accuracy"),
    ("explanation_deletion_margin",),
    ("invariance",),
    ("near_ood_auroc", "far_ood_auroc"),
    ("latency_p99_ms",),
    ("throughput_per_s", "memory_mb", "cost_per_1000"),
)
"""Rules whose numbers one evaluation gives; throughput is what keeps the limit of the latency."""
WITHOUT_EVIDENCE = {
    "predicted_classes": (asked("predicted_classes"), BEHAVIOUR, "evaluate.behaviour.min_n=1000"),
    "same_answer_twice": (asked("same_answer_twice", min_n=30), BEHAVIOUR),
    "same_answer_in_another_batch": (asked("same_answer_in_another_batch", min_n=30), BEHAVIOUR),
    "directional_covering": (asked("directional_covering", min_n=30), BEHAVIOUR),
    "request_errors": (asked("request_errors", min_n=1_000_000), COST),
    "unlisted_advisories": (
        asked("unlisted_advisories"),
        "evaluate.security={audit_advisories: true, audit_timeout_s: 0.01}",
    ),
}
"""Nothing, or too little, to judge by."""
WITHOUT_TOGETHER = (
    ("predicted_classes",),
    ("same_answer_twice", "same_answer_in_another_batch", "directional_covering"),
    ("request_errors",),
    ("unlisted_advisories",),
)
HARM = ("class_harm", "golden_harm", "new_rows_harm")
BESIDE = ("accuracy_difference_to_champion", "accuracy_difference_to_anchor", *HARM)
"""Those on a comparison with what is in production."""
ELSEWHERE = {
    "data_validation": "test_refusals.py: refused data is learnt from by nobody",
    "learning": "test_not_learning.py: a training that was given up",
    "watermark_matches": "test_watermark.py: a mark that was not learnt",
    "minimum_functionality": "below, with pictures of the test split",
    "signature_valid": "below, with another key of the gate",
    "dropped_classes": "below, beside a champion that knows one more",
}


def refused_training(shop: Shop, rules: str | tuple[str, ...], verdict: str, *assignments: str) -> int:
    """Train; these rules refuse, each of them alone too, and no other. Return the version."""
    from materializers.evidence import run_output
    from materializers.verdict import derive_outcome

    rules = (rules,) if isinstance(rules, str) else rules
    trained = shop.run(*assignments, train=True, source=str(shop.delivery))
    assert (trained.exit_code, trained.last["verdict"]) == (REFUSED, verdict), trained.said
    named = {re.split(":| of ", reason, maxsplit=1)[0] for reason in trained.last["reasons"]}
    assert named == set(rules), trained.said
    version: int = trained.last["version"]
    results = run_output(shop.versions()[version]["zenml_run"], "verdict").rules
    for rule in rules:
        kept = [each for each in results if each.rule == rule or each.rule not in rules]
        assert derive_outcome(kept) == verdict, rule
    return version


def settings_of(rules: tuple[str, ...], settings: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """What these rules need, each assignment once."""
    return tuple(dict.fromkeys(one for rule in rules for one in settings[rule]))


def test_every_rule_of_the_policy_has_its_test() -> None:
    """A rule that is added to the policy is added here."""
    assert {*MISSED, *WITHOUT_EVIDENCE, *BESIDE, *ELSEWHERE} == set(POLICY)
    assert sorted(rule for rules in MISSED_TOGETHER for rule in rules) == sorted(MISSED)
    assert sorted(rule for rules in WITHOUT_TOGETHER for rule in rules) == sorted(WITHOUT_EVIDENCE)


@pytest.mark.parametrize("rules", MISSED_TOGETHER, ids="-".join)
def test_a_missed_limit_refuses(untouched: Shop, rules: tuple[str, ...]) -> None:
    """A model that misses the limit of a rule is refused by that rule, and its release too."""
    settings = settings_of(rules, MISSED)
    version = refused_training(untouched, rules, "refused", SEED_1, *settings)
    said = refused_release(untouched, version, *settings)
    assert [rule for rule in rules if rule not in said] == []


@pytest.mark.parametrize("rules", WITHOUT_TOGETHER, ids="-".join)
def test_a_rule_without_evidence_refuses(untouched: Shop, rules: tuple[str, ...]) -> None:
    """A required rule that cannot be assessed is never taken as passed."""
    settings = settings_of(rules, WITHOUT_EVIDENCE)
    version = refused_training(untouched, rules, "not_assessed", SEED_1, *settings)
    said = refused_release(untouched, version, *settings)
    assert [rule for rule in rules if rule not in said] == []


def test_a_rule_on_one_class_alone_refuses(untouched: Shop) -> None:
    """Whatever the rule on all classes says; the reason names rule and class."""
    rule = "policy.rules.tops_found={metric: recall, subject: tops, requirement: required, limit: 1.0}"
    version = refused_training(untouched, "tops_found", "refused", SEED_1, rule)
    assert "tops_found of tops: " in refused_release(untouched, version, rule)


def test_an_easy_picture_that_is_wrong_refuses(untouched: Shop) -> None:
    """All test pictures on the list of easy ones: the model does not have each of them right."""
    from materializers.evidence import run_output

    tested = run_output(untouched.versions()[2]["zenml_run"], "splits").image_ids("test")
    settings = f"evaluate.behaviour={json.dumps({'pictures': 20, 'easy_list': tested})}"
    version = refused_training(untouched, "minimum_functionality", "refused", SEED_1, settings)
    assert "minimum_functionality" in refused_release(untouched, version, settings)


def test_a_gate_with_another_key_refuses(untouched: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it signs would not hold under the key that the stack file names."""
    private, _ = make_key_pair()
    changed = asked("signature_valid", min_n=1)  # so that it is no version of before
    with monkeypatch.context() as patch:
        patch.setenv(GATE_KEY, private)
        version = refused_training(untouched, "signature_valid", "refused", SEED_1, changed)
    assert "signature_valid" in refused_release(untouched, version, changed)


NEEDS = {
    "corruption_relative_accuracy": "evaluate.robustness.pictures",
    "explanation_deletion_margin": "evaluate.explanations.pictures",
    "invariance": "evaluate.behaviour.pictures",
    "predicted_classes": "evaluate.behaviour.pictures",
    "same_answer_twice": "evaluate.behaviour.pictures",
    "same_answer_in_another_batch": "evaluate.behaviour.pictures",
    "directional_covering": "evaluate.behaviour.pictures",
    "near_ood_auroc": "evaluate.unknown.pictures",
    "far_ood_auroc": "evaluate.unknown.pictures",
    "latency_p99_ms": "evaluate.cost.requests",
    "request_errors": "evaluate.cost.requests",
    "throughput_per_s": "evaluate.cost.requests",
    "memory_mb": "evaluate.cost.requests",
    "cost_per_1000": "evaluate.cost.requests",
    "unlisted_advisories": "evaluate.security.audit_advisories",
}


@pytest.mark.parametrize("rule", NEEDS)
def test_a_required_rule_whose_part_is_off_is_wrong_use(untouched: Shop, rule: str) -> None:
    """It could never be assessed: nothing is started, and the setting is named."""
    before = untouched.versions()
    outcome = untouched.run(asked(rule), train=True, source=str(untouched.delivery))
    assert outcome.exit_code == WRONG_USE
    assert (
        f"policy.rules.{rule} is required and could never be assessed: {NEEDS[rule]} is off" in outcome.said
    )
    assert untouched.versions() == before


ABSOLUTE = ("accuracy", "precision", "recall", "f1_macro")
WITHOUT_LIMITS = (
    *(f"policy.rules.{rule}.requirement=advisory" for rule in ABSOLUTE),
    "policy.comparison={margin: 0.01, min_n: 2, harm_alpha: 0.49}",
    "policy.rules.accuracy_difference_to_champion.limit=-0.01",
    "policy.rules.accuracy_difference_to_anchor.limit=-0.01",
    *(f"policy.rules.{rule}.limit=0.49" for rule in HARM),
)
WORSE = ("train.epochs=1", "train.learning_rate=0.0002", "train.learning={floor: 0.0, times_chance: 0.0}")
"""A training that is over before much is learnt."""


def only(rule: str) -> tuple[str, ...]:
    """One rule on the comparison required, the others advisory."""
    return tuple(f"policy.rules.{other}.requirement=advisory" for other in BESIDE if other != rule)


@pytest.fixture(scope="module")
def beside(open_shop: Callable[[str], Shop], tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Version 1, learnt from 40 pictures of each class, is live in production; the delivery has 60."""
    shop = open_shop("beside")
    fewer = cut_delivery(tmp_path_factory.mktemp("fewer") / "delivery.zip", per_class=40)
    first = shop.run(train=True, source=str(fewer))
    assert first.exit_code == 0, first.said
    shop.deploy(1, "production")
    return shop


@pytest.fixture
def live(beside: Shop) -> Iterator[Shop]:
    """Fails the test when production serves something else after it."""
    before = beside.served("production"), beside.aliases()["champion"]
    assert before[0] is not None
    yield beside
    assert (beside.served("production"), beside.aliases()["champion"]) == before


@pytest.mark.parametrize("rule", BESIDE)
def test_a_model_that_is_worse_than_the_champion_is_refused(live: Shop, rule: str) -> None:
    """On all rows, beside champion and anchor, on a class, on the golden set and on new rows."""
    policy = (*WITHOUT_LIMITS, *only(rule))
    waits = live.run(*policy, train=True, source=str(live.delivery))
    change = waits.said.split("--approve-change ")[1].split(maxsplit=1)[0]
    assert live.run(*policy, approve_change=change, by="Ada", reason="to try it").exit_code == 0
    version = refused_training(live, rule, "refused", *policy, *WORSE)
    assert rule in refused_release(live, version, *policy, environment="production")


FOUR = ("product.classes=[tops, trousers, dresses, footwear]", "validate.unknown_labels.limit=1")
"""One class fewer than the champion knows."""


def test_a_class_that_nobody_gave_up_is_missed(live: Shop) -> None:
    """A model that cannot answer bags any more is refused by name; one that was to give them up is not."""
    version = refused_training(live, "dropped_classes", "refused", *FOUR)
    said = refused_release(live, version, *FOUR)
    assert "the champion, version 1 knows bags, and this model does not" in said
    given_up = live.run(
        *FOUR, "product.class_changes={retired: [bags]}", train=True, source=str(live.delivery)
    )
    assert "dropped_classes" not in given_up.said
