"""A verdict's outcome follows from its numbers, and nothing about it can be altered unseen."""

import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from zenml.artifact_stores import BaseArtifactStore

from materializers.errors import Refused
from materializers.report import ReportMaterializer
from materializers.verdict import Direction, Opponent, Outcome, Verdict, derive_outcome, judge, verify_verdict
from tests.materializers.examples import EVIDENCE, MODEL_DIGEST, full_verdict, rule, verdict

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


def recorded(honest: Verdict) -> dict[str, str | None]:
    """What registry and run hold of a verdict."""
    return {"registry": honest.digest, "ZenML run": honest.digest}


@pytest.mark.parametrize(
    ("measured", "limit", "direction", "outcome"),
    [
        (0.85, 0.85, ">=", "passed"),
        (0.8499999, 0.85, ">=", "refused"),
        (500.0, 500.0, "<=", "passed"),
        (500.1, 500.0, "<=", "refused"),
        (None, 0.85, ">=", "not_assessed"),
        (math.nan, 0.85, ">=", "not_assessed"),
        (math.inf, 0.85, ">=", "not_assessed"),
        (0.9, math.nan, ">=", "not_assessed"),
        (0.9, -math.inf, ">=", "not_assessed"),
        (0.9, math.inf, "<=", "not_assessed"),
    ],
)
def test_a_number_is_judged_by_its_limit(
    measured: float | None, limit: float, direction: Direction, outcome: Outcome
) -> None:
    """The limit itself passes; what cannot be compared is not assessed."""
    assert judge(measured, limit, direction) == outcome


@settings(deadline=None)
@given(measured=st.none() | NUMBERS, limit=NUMBERS, direction=st.sampled_from([">=", "<="]))
def test_only_two_finite_numbers_in_order_pass(
    measured: float | None, limit: float, direction: Direction
) -> None:
    """Whatever the numbers, a pass means that both are finite and the comparison holds."""
    if judge(measured, limit, direction) == "passed":
        assert measured is not None
        assert math.isfinite(measured)
        assert math.isfinite(limit)
        assert measured >= limit if direction == ">=" else measured <= limit


@pytest.mark.parametrize(
    ("rules", "outcome"),
    [
        ([], "not_assessed"),
        ([rule(0.9, requirement="advisory")], "not_assessed"),
        ([rule(0.9), rule(0.1, requirement="advisory")], "passed"),
        ([rule(0.9), rule(None, requirement="advisory")], "passed"),
        ([rule(0.9), rule(None)], "not_assessed"),
        ([rule(0.9), rule(None), rule(0.1)], "refused"),
        ([rule(0.9), rule(0.9, limit=math.nan)], "not_assessed"),
        ([rule(0.1, outcome="passed")], "refused"),
    ],
    ids=[
        "no rules",
        "advisory only",
        "advisory refused",
        "advisory not assessed",
        "required not assessed",
        "refused wins",
        "limit is not a number",
        "a rule that says it passed",
    ],
)
def test_the_outcome_follows_from_the_required_numbers(rules: list[Any], outcome: Outcome) -> None:
    """Only required rules count, by their numbers, and at least one must."""
    assert derive_outcome(rules) == outcome


def test_an_honest_passed_verdict_is_accepted() -> None:
    """A verdict that is recorded, about this model and passed raises nothing."""
    honest = full_verdict()
    verify_verdict(honest, model_digest=MODEL_DIGEST, recorded=recorded(honest))


@pytest.mark.parametrize("outcome", ["refused", "not_assessed"])
def test_a_verdict_that_did_not_pass_is_refused_with_its_reasons(outcome: Outcome) -> None:
    """The refusal names the rule, what was measured and the limit."""
    measured = 0.7444 if outcome == "refused" else None
    honest = verdict(rule(0.9), rule(measured, rule="recall", subject="tops"), outcome=outcome)
    with pytest.raises(Refused, match=r"recall of tops: (0\.7444|not assessed), limit >= 0\.8"):
        verify_verdict(honest, model_digest=MODEL_DIGEST, recorded=recorded(honest))


def altered(honest: Verdict, **fields: Any) -> Verdict:
    """The same verdict with other values, as an editor of its JSON makes it."""
    return Verdict.model_validate(honest.model_dump() | fields)


REFUSED = full_verdict("refused")
BETTER = [each.model_dump() | {"measured": 0.99, "outcome": "passed"} for each in REFUSED.rules]
LOWER = [each.model_dump() | {"limit": 0.1, "outcome": "passed"} for each in REFUSED.rules]
ADVISORY = [each.model_dump() | {"requirement": "advisory"} for each in REFUSED.rules]
WITHOUT = [each.model_dump() for each in REFUSED.rules if each.outcome == "passed"]
CHEATS = {
    "outcome": altered(REFUSED, outcome="passed"),
    "measured values": altered(REFUSED, outcome="passed", rules=BETTER),
    "limits": altered(REFUSED, outcome="passed", rules=LOWER),
    "requirements": altered(REFUSED, outcome="passed", rules=ADVISORY),
    "a rule taken out": altered(REFUSED, outcome="passed", rules=WITHOUT),
    "no rules": altered(REFUSED, outcome="passed", rules=[]),
    "the policy": altered(REFUSED, evidence=EVIDENCE.model_dump() | {"policy": "00" * 32}),
    "another's passed verdict": full_verdict(),
}


@pytest.mark.parametrize("place", ["registry", "ZenML run"])
@pytest.mark.parametrize("cheat", CHEATS.values(), ids=CHEATS)
def test_an_altered_verdict_is_refused_though_one_place_was_altered_too(cheat: Verdict, place: str) -> None:
    """Every edit changes the digest; the other place still has the honest one, and is named."""
    places = recorded(cheat) | {place: REFUSED.digest}
    with pytest.raises(Refused, match=f"the {place} recorded {REFUSED.digest[:12]}"):
        verify_verdict(cheat, model_digest=MODEL_DIGEST, recorded=places)


@pytest.mark.parametrize("cheat", ["outcome", "requirements", "no rules"])
def test_a_verdict_whose_numbers_say_otherwise_is_refused_wherever_it_is_recorded(cheat: str) -> None:
    """Even with every record altered alike, the outcome must follow from the numbers."""
    with pytest.raises(Refused, match="The verdict says passed, its own numbers give"):
        verify_verdict(CHEATS[cheat], model_digest=MODEL_DIGEST, recorded=recorded(CHEATS[cheat]))


def test_another_models_verdict_is_refused() -> None:
    """A verdict is about the model directory that it was reached on, and no other."""
    honest = full_verdict()
    with pytest.raises(Refused, match=f"about model {MODEL_DIGEST[:12]}, the model present is {'00' * 6}"):
        verify_verdict(honest, model_digest="00" * 32, recorded=recorded(honest))


@pytest.mark.parametrize("places", [{}, {"registry": None}, {"registry": full_verdict().digest, "run": None}])
def test_a_verdict_that_a_place_did_not_record_is_refused(places: dict[str, str | None]) -> None:
    """No record is no evidence, and asking nowhere is no record."""
    with pytest.raises(Refused, match=r"[Nn]o(ne|thing)"):
        verify_verdict(full_verdict(), model_digest=MODEL_DIGEST, recorded=places)


def test_a_verdict_with_a_number_that_is_none_keeps_its_digest_when_stored(store: BaseArtifactStore) -> None:
    """A limit or value that is no number is stored as it is, so that the verdict stays the recorded one."""
    odd = verdict(
        rule(0.9), rule(math.nan, requirement="advisory", rule="f1"), rule(math.inf, limit=-math.inf)
    )
    materializer = ReportMaterializer(f"{store.path}/verdict", store)
    materializer.save(odd)
    loaded: Verdict = materializer.load(Verdict)
    assert loaded.digest == odd.digest
    assert derive_outcome(loaded.rules) == derive_outcome(odd.rules) == "not_assessed"


def test_reasons_are_those_of_required_rules() -> None:
    """An advisory rule that failed is in the table, not among the reasons."""
    mixed = verdict(rule(0.1, requirement="advisory"), rule(0.5, n=90), outcome="refused")
    assert mixed.reasons() == ["accuracy: 0.5, limit >= 0.8"]
    assert mixed.headline() == {"outcome": "refused", "reasons": mixed.reasons()}


def test_a_comparison_other_than_of_points_is_unknown() -> None:
    """A later way to compare is another format, and this code does not read it as its own."""
    with pytest.raises(ValidationError, match="compared"):
        altered(full_verdict(), compared="lower_bound")


def mixed_verdict(**known: Any) -> Verdict:
    """Refused: one required rule is refused, one not assessed, one advisory rule is refused."""
    rules = (
        rule(0.934, 0.85, n=450),
        rule(None, rule="latency_p99_ms", direction="<=", limit=500, reason="no replica was ready"),
        rule(0.7444, rule="recall", subject="tops", interval=(0.65, 0.82), n=90),
        rule(0.91, rule="recall", subject="bags", n=90),
        rule(0.4, requirement="advisory", rule="near_ood_auroc"),
        rule(1.0, rule="golden_harm", limit=0.025, n=90),
        rule(0.99, rule="house_rule"),
    )
    return verdict(*rules, outcome="refused", **known)


def flat(page: str) -> str:
    """The text of a page, without its head."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.partition("</head>")[2]).split())


def test_the_page_says_why_before_it_shows_all_rules() -> None:
    """What refuses first, then what nobody could assess: measured, limit and reason, in a table."""
    text = flat(mixed_verdict().page())
    assert text.index("Refused") < text.index("2 of 6 required rules did not pass") < text.index("Why")
    first = text.index("✗ refused recall of tops 0.7444 [0.65, 0.82] n 90 ≥ 0.8")
    then = text.index("○ not assessed latency p99 ms – ≤ 500 no replica was ready")
    assert text.index("Why") < first < then < text.index("Accuracy 2 of 3")
    assert "1 advisory rule does not hold, which decides nothing: near ood auroc." in text


def test_the_page_shows_all_rules_in_their_groups() -> None:
    """With the share that passed, and within a group what did not pass first."""
    text = flat(mixed_verdict().page())
    order = ["Accuracy 2 of 3 required passed", "Comparison 1 of 1 required passed"]
    order += ["Uncertainty 0 of 1 advisory passed", "Cost 0 of 1 required passed"]
    order += ["Others 1 of 1 required passed"]
    places = [text.index(heading) for heading in order]
    assert places == sorted(places)
    accuracy = text[places[0] : places[1]]
    assert accuracy.index("recall of tops") < accuracy.index("accuracy") < accuracy.index("recall of bags")


def test_a_tile_says_what_it_counts() -> None:
    """Required rules; advisory ones stand apart, and in a tile of their own where nothing else is there."""
    both = verdict(
        rule(0.934, 0.85),
        rule(0.9, rule="recall", subject="tops"),
        rule(0.5, 0.85, rule="roc_auc_macro", requirement="advisory"),
        rule(0.4, rule="near_ood_auroc", requirement="advisory"),
    )
    page = both.page()
    assert (
        '<div class="tile good"><span class="figure">2 of 2</span>accuracy <span class="interval">'
        "advisory: 0 of 1</span></div>"
    ) in page
    assert '<div class="tile "><span class="figure">0 of 1</span>uncertainty, advisory</div>' in page
    assert "Counted are the required rules that passed" in page
    assert "Accuracy 2 of 2 required, 0 of 1 advisory passed" in flat(page)


def test_a_passed_verdict_has_nothing_to_explain() -> None:
    """No reasons, and every group is whole."""
    text = flat(full_verdict().page())
    assert "Why" not in text
    assert "1 advisory rule could not be assessed, which decides nothing: roc auc macro." in text
    assert "It may be released: each of its 8 required rules passed." in text


def test_the_page_names_the_version_that_it_was_compared_with() -> None:
    """Where there was one."""
    page = mixed_verdict(champion=Opponent(version=7, model="0f" * 32)).page()
    assert "compared with version 7, the champion" in page
    assert "0f" * 32 in page
    assert "champion" not in mixed_verdict().page()


def test_hundreds_of_rules_are_folded_and_still_there() -> None:
    """A thousand classes, one of them too weak: it stands first, and everything is below 3 MB."""
    classes = [rule(0.9, rule="recall", subject=f"class {number}", n=90) for number in range(1000)]
    page = verdict(*classes, rule(0.1, rule="recall", subject="weak"), outcome="refused").page()
    text = flat(page)
    assert "961 more" in text
    assert text.index("recall of weak", text.index("Accuracy 1,000 of 1,001")) < text.index("class 0 ")
    assert "class 999" in text
    assert len(page.encode()) < 3_000_000
