"""The card of a version says what an outsider asks first, in Markdown and as a page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from materializers.evaluation.metric import Measured, Metric
from materializers.model_card import CardData, ModelCard
from tests.materializers.examples import approval, full_verdict


def card(**known: Any) -> ModelCard:
    """The card of a version that was refused for one class."""
    verdict = full_verdict("refused")
    about: dict[str, Any] = {
        "model_name": "product-classifier",
        "version": 3,
        "purpose": "Sorts product photographs.",
        "architecture": "small_cnn",
        "classes": ("bags", "tops"),
        "trained": {"seed": "0"},
        "data": CardData(
            version="d" * 64,
            splits="5" * 64,
            source_name="shop",
            pictures={"bags": {"train": 1200, "test": 90}, "tops": {"train": 900, "test": 80}},
        ),
        "outcome": verdict.outcome,
        "rules": verdict.rules,
        "measured": (
            Measured(metric="accuracy", value=Metric(value=0.93, low=0.9, high=0.96, n=170)),
            Measured(metric="recall", subject="bags|<b>", value=None, reason="no test picture"),
        ),
        "limits": ("Not for pictures of people.",),
        "digests": {"model": "1" * 64},
    } | known
    return ModelCard(**about)


def test_the_card_names_purpose_data_numbers_limits_and_digests() -> None:
    """In both forms, with intervals and the number of rows; what was not measured says why."""
    made = card()
    for text in (made.markdown(), made.page()):
        for said in (
            "product-classifier, version 3",
            "Sorts product photographs.",
            "Not for pictures of people.",
            "1,200",
            "0.93 ",
            "[0.9, 0.96]",
            "no test picture",
            "1" * 64,
            "refused",
        ):
            assert said in text, said


def test_names_cannot_break_the_table() -> None:
    """A class whose name holds a bar or markup stays in its cell."""
    (line,) = [line for line in card().markdown().splitlines() if "<b>" in line or "&lt;b>" in line]
    assert line.replace(r"\|", "").count("|") == 6
    assert "<b>" not in line


def test_decisions_of_persons_are_on_the_card() -> None:
    """Who, logged in as whom, when and why, the last one in the headline."""
    when = datetime(2026, 11, 29, 8, 30, tzinfo=UTC)
    decided = card().with_decision(approval(by="Ada", reason="checked", at=when))
    again = decided.with_decision(approval(decision="rejected", by="Bob", reason="dresses", at=when))
    lines = [line for line in again.markdown().splitlines() if line.startswith("- ") and "logged in" in line]
    assert lines == [
        "- approved by Ada (logged in as default), 2026-11-29 08:30 UTC: checked",
        "- rejected by Bob (logged in as default), 2026-11-29 08:30 UTC: dresses",
    ]
    assert again.headline()["decision"] == "rejected"
    assert "None so far." in card().page()
    assert "dresses" in again.page()


def test_a_card_is_read_back_as_it_was() -> None:
    """Digest and Markdown are the same after JSON."""
    made = card()
    read = ModelCard.model_validate_json(made.model_dump_json())
    assert (read.digest, read.markdown()) == (made.digest, made.markdown())


def test_a_refused_card_says_why_before_all_else() -> None:
    """In both forms; one that passed has no reasons."""
    markdown, page = card().markdown(), card().page()
    assert "- recall of tops: 0.7444, limit >= 0.8" in markdown.partition("## Limits")[0]
    above = page.partition("<h2>Limits</h2>")[0]
    assert "Why it may not be released" in above
    assert "0.7444" in above
    passed = card(outcome="passed", rules=full_verdict().rules)
    assert "Why" not in passed.page().partition("</head>")[2]
    assert "The gate: **passed**.\n\n| first of all" in passed.markdown()


def test_the_first_numbers_stand_above_the_tables() -> None:
    """What was measured of them; the rest is in the tables."""
    made = card(
        measured=(
            Measured(metric="accuracy", value=Metric(value=0.93, low=0.9, high=0.96, n=170)),
            Measured(metric="f1_macro", value=Metric(value=None, n=0)),
            Measured(metric="cost_per_1000", value=None, reason="off"),
            Measured(metric="recall", subject="tops", value=Metric(value=0.5, n=9)),
        )
    )
    assert list(made.first_numbers()) == ["accuracy"]
    assert '<span class="figure">0.93</span>accuracy <span class="interval">[0.9, 0.96]</span>' in made.page()


def test_a_difference_says_to_what() -> None:
    """A first version has no champion: what it was compared with is named above all else."""
    difference = Metric(value=0.7, low=0.6, high=0.8, n=170)
    measured = (Measured(metric="accuracy_difference_to_champion", value=difference),)
    first = card(measured=measured, compared_with="a baseline that always answers bags_1")
    said = "difference of accuracy to a baseline that always answers bags_1"
    assert f'<span class="figure">0.7</span>{said} <span' in first.page()
    assert f"| {said} | 0.7 [0.6, 0.8] |" in first.markdown().partition("## Limits")[0]
    assert list(card(measured=measured).first_numbers()) == ["accuracy difference to champion"]


def test_names_from_outside_are_text_on_the_page() -> None:
    """A class, a reason or a purpose with markup becomes no tag."""
    evil = "<script>alert(1)</script>"
    difference = Measured(metric="accuracy_difference_to_champion", value=Metric(value=0.1, n=9))
    made = card(
        purpose=evil,
        classes=(evil,),
        limits=(evil,),
        trained={evil: evil},
        measured=(difference,),
        compared_with=evil,
    )
    assert "<script" not in made.page()
    assert made.page().count("&lt;script&gt;") == 6
    assert "<script" not in made.markdown().partition("## Limits")[0].partition("first of all")[2]
