"""The page of an evaluation: what matters first, each part with its numbers and pictures, all below 3 MB."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from materializers.evaluation.comparison import Comparison
from materializers.evaluation.metric import Metric
from materializers.evaluation_report import PARTS, ClassMetrics, EvaluationReport
from materializers.report import short, signed
from tests.materializers.evaluation.examples import every_part
from tests.materializers.examples import (
    PICTURES_OF_PARTS,
    evaluation_report,
    full_evaluation_report,
    png,
)

UNDEFINED = Metric(value=None, low=None, high=None, n=0)
HEADINGS = {
    "champion": "Comparison with the champion, version 7",
    "anchor": "Comparison with the anchor, version 7",
    "discrimination": "Accuracy",
    "unknown": "Unknown pictures",
    "worst_mistakes": "Worst mistakes",
}
"""Of the parts that are not called like their field."""


class Sections(HTMLParser):
    """A page's text by heading, and the pictures below each."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text: dict[str, str] = {"": ""}
        self.pictures: dict[str, list[str]] = {"": []}
        self._heading = False
        self._last = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._heading = tag == "h2"
        if self._heading:
            self._last = ""
        elif tag == "img":
            self.pictures[self._last].append(dict(attrs)["alt"] or "")

    def handle_data(self, data: str) -> None:
        if self._heading:
            self._last += " ".join(data.split())
            self.text.setdefault(self._last, "")
            self.pictures.setdefault(self._last, [])
        else:
            self.text[self._last] += re.sub(r"\s+", " ", data)

    def handle_endtag(self, tag: str) -> None:
        self._heading = self._heading and tag != "h2"


def heading(part: str) -> str:
    """What stands above a part."""
    return HEADINGS.get(part, part.capitalize())


def sections(report: EvaluationReport) -> Sections:
    """What its page says."""
    return Sections(report.page())


def with_parts(**parts: Any) -> EvaluationReport:
    """The full report with other parts."""
    return full_evaluation_report().model_copy(update=parts)


FULL = full_evaluation_report()
FULL_PAGE = sections(FULL)


def test_the_page_shows_each_metric_with_its_interval_and_n() -> None:
    """A number without its interval and n says little."""
    text = " ".join(evaluation_report().page().split())
    assert '0.934 <span class="interval">[0.909, 0.956]</span> <span class="interval">n 450</span>' in text


def test_the_headline_numbers_stand_above_all_parts() -> None:
    """Who looks for a second sees how right it is, whether it lost, what it withstands and what it costs."""
    text = FULL_PAGE.text[""]
    cost, champion, slices = FULL.cost, FULL.champion, FULL.slices
    assert cost is not None and champion is not None and champion.overall is not None and slices is not None
    assert cost.latency_p99_ms is not None
    worst = slices.columns["tops"].groups["tops"].value
    for said in (
        "0.934accuracy [0.909, 0.956]",
        f"{signed(champion.overall.difference.value)}to the champion",
        f"{short(worst)}tops, the worst group",
        f"{short(cost.latency_p99_ms.value)} msfor 99 of 100 requests",
        "1advisory that nobody accepted",
    ):
        assert said in text


@pytest.mark.parametrize("part", PARTS)
def test_every_number_of_a_part_stands_below_its_heading(part: str) -> None:
    """Whatever a policy can have a rule on can be read, with its interval, where one looks for it."""
    text = FULL_PAGE.text[heading(part)]
    values = [each.value for each in FULL.parts[part].measured() if each.value is not None]
    assert values or part == "worst_mistakes"
    for metric in values:
        shown = {short(metric.value), signed(metric.value), f"{metric.value:g}"}
        assert any(said in text for said in shown), metric
        if metric.low is not None and metric.high is not None:
            bounds = (f"[{show(metric.low)}, {show(metric.high)}]" for show in (short, signed))
            assert any(said in text for said in bounds), metric


SAID = {
    "champion": (
        "On the same 438 rows",
        "A loss of more than 0.02 is not excluded",
        "class tops880.920.9",
        "harm p 0.013",
        "none shown p 0.411",
        "not judged",
        "a model exactly as good as the champion would pass in 43.7 % of cases",
        "4 versions were judged on these test pictures",
        "below 0.025 it refuses",
        "12 test rows left out",
        "new tops",
        "old tops",
        "9 : 3",
    ),
    "discrimination": ("420 of 450 test pictures are answered right", "among the 3 most probable"),
    "calibration": ("even true ones would seem to be off by 0.023", "1.734"),
    "abstention": ("Below a probability of 0.61", "risk that was asked for0.03"),
    "unknown": ("beside 300 test pictures", "jigsaw"),
    "worst_mistakes": ("26 answers of 450 are wrong", "of bags for a picture of tops", "5f" * 32),
    "slices": ("few tops (3)", "season is not assessed: no season of tops", "every brightness of tops"),
    "fairness": ("says nothing about tops", "age is not assessed: one tops alone", "studio"),
    "robustness": ("blur", "FGSM 2/255"),
    "explanations": ("Without the 20 % of pixels", "The first 1 of 128 dimensions", "2.2 %"),
    "behaviour": ("1 easy picture answered wrong", "It never answers tops", "5f" * 8, "no list of tops"),
    "cost": ("when 10 a second are sent", "took up to 4% longer", "too slow for tops", "limit 500"),
    "security": (
        "1 file of 3 does not belong",
        "no file of tops",
        "1 advisory that nobody accepted",
        "CVE-2026-1",
        "until 2027-03-01",
        "2e" * 32,
    ),
    "watermark": ("c0ffee0123456789", "can expect 0.2"),
}


@pytest.mark.parametrize("part", SAID)
def test_a_part_says_in_words_what_it_found(part: str) -> None:
    """Harm, power, what was left out, what nobody accepted: beside the numbers."""
    text = " ".join(FULL_PAGE.text[heading(part)].split())
    for said in SAID[part]:
        assert said in text, said


@pytest.mark.parametrize("part", PICTURES_OF_PARTS)
def test_pictures_stand_in_the_part_that_they_belong_to(part: str) -> None:
    """Not in a gallery at the end, where nobody knows what they show."""
    assert len(FULL_PAGE.pictures[heading(part)]) == len(PICTURES_OF_PARTS[part])
    assert len(FULL_PAGE.pictures["Accuracy"]) == 2
    assert "Pictures" not in FULL_PAGE.text


def test_a_picture_that_belongs_to_no_part_is_shown_all_the_same() -> None:
    """A report of another time may have others."""
    page = sections(FULL.with_pictures({"heat map": png(3)}))
    assert page.pictures["Pictures"] == ["heat map"]


@pytest.mark.parametrize("part", [name for name in PARTS if name != "discrimination"])
def test_a_part_that_was_not_assessed_says_why_in_one_line(part: str) -> None:
    """It takes no room where its numbers would stand."""
    kind = type(FULL.parts[part])
    page = sections(with_parts(**{part: kind(not_assessed="nobody <asked> for it")}))
    assert page.text["Not assessed"].count("nobody <asked> for it") == 1
    assert "Not assessed, for the reasons at the end: " in page.text[""]
    assert len(page.text) == len(FULL_PAGE.text)  # one heading less, and that of what is not assessed


def test_a_first_version_has_nothing_to_lose_against() -> None:
    """No anchor yet is said with its reason; the baseline is named by the class that it answers."""
    nothing = Comparison(against="anchor", nothing_yet="no version was ever in production")
    baseline = FULL.champion
    assert baseline is not None
    baseline = baseline.model_copy(
        update={"against": "majority class", "version": None, "always_answered": "bags"}
    )
    page = sections(with_parts(anchor=nothing, champion=baseline))
    assert "no version was ever in production" in page.text["Not assessed"]
    assert "the baseline" in page.text["Comparison with a baseline that always answers bags"]
    assert "to the baseline" in page.text[""]
    assert "exactly as good" not in page.text["Comparison with a baseline that always answers bags"]


def test_parts_of_a_part_that_were_not_measured_say_why() -> None:
    """No attack, no Grad-CAM, no audit, no sustained rate: a line each, beside what was measured."""
    parts = every_part()
    robust = parts["robustness"].model_copy(update={"attacks": (), "attacks_not_assessed": "no gradient"})
    explained = parts["explanations"].model_copy(update={"grad_cam_not_assessed": "no map"})
    unknown = parts["unknown"].model_copy(update={"embedding_not_assessed": "no validation picture"})
    audited = parts["security"].model_copy(update={"advisories": (), "advisories_not_assessed": "no network"})
    costs = parts["cost"].model_copy(
        update={"not_sustained": "every rate was too high", "not_of_a_process": "it is remote"}
    )
    page = sections(
        with_parts(robustness=robust, explanations=explained, unknown=unknown, security=audited, cost=costs)
    )
    assert "Not assessed: attacks, because no gradient." in page.text["Robustness"]
    assert "Not assessed: Grad-CAM, because no map." in page.text["Explanations"]
    assert "because no validation picture." in page.text["Unknown pictures"]
    assert "because no network." in page.text["Security"]
    assert "audited" not in page.text["Security"]
    assert "because every rate was too high." in page.text["Cost"]
    assert "because it is remote." in page.text["Cost"]


@pytest.mark.parametrize("part", PARTS)
def test_a_part_with_nothing_in_it_has_a_page_too(part: str) -> None:
    """Every field of a section may be missing."""
    empty = type(FULL.parts[part])()
    assert with_parts(**{part: empty}).page()


def test_a_metric_that_is_not_defined_is_a_dash_and_no_headline() -> None:
    """The precision of a class that was never predicted is not zero."""
    report = evaluation_report().model_copy(update={"roc_auc_macro": UNDEFINED})
    assert "roc_auc_macro" not in report.headline()
    assert "macro ROC-AUC –" in report.page()
    assert report.headline()["accuracy"] == 0.934


def test_pictures_that_serving_refused_are_said_to_count_as_wrong() -> None:
    """Otherwise the accuracy would seem to leave them out."""
    assert "they count as wrong" in evaluation_report().page()
    assert "they count as wrong" not in evaluation_report().model_copy(update={"set_aside": 0}).page()


def test_a_report_of_format_1_has_its_page() -> None:
    """Latency in process, no parts, and nothing is said to be missing."""
    old = evaluation_report().model_copy(update={"format_version": 1})
    page = sections(EvaluationReport.model_validate_json(old.model_dump_json()))
    assert "p50 3.127 ms, p99 12.41 ms" in page.text["The model"]
    assert "1.235 MB" in page.text["The model"]
    assert "pictures are answered within 12.41 ms" in old.page()
    assert "Not assessed" not in page.text
    assert {*page.text} == {"", "Accuracy", "The model", "Digests"}


def test_a_thousand_classes_and_the_largest_pictures_are_below_3_mb(tmp_path: Path) -> None:
    """Tables are cut, with the weakest classes first, and pictures are counted that have no room."""
    name = "a class with quite a long name, number {:04d}"
    classes = {
        name.format(number): ClassMetrics(
            precision=Metric(value=0.9, low=0.8, high=0.99, n=450),
            recall=Metric(value=0.999 - number / 2000, low=0.4, high=1.0, n=450),
            f1_score=Metric(value=0.9, low=0.8, high=0.99, n=450),
        )
        for number in range(1000)
    }
    champion = FULL.champion
    assert champion is not None and champion.overall is not None
    compared = champion.model_copy(update={"classes": dict.fromkeys(classes, champion.overall)})
    pictures = {picture: bytes(150_000) for names in PICTURES_OF_PARTS.values() for picture in names}
    report = with_parts(
        per_class=classes, champion=compared, anchor=compared.model_copy(update={"against": "anchor"})
    ).with_pictures(pictures | {"confusion_matrix": bytes(150_000), "roc_curves": bytes(150_000)})
    page = report.page()
    assert len(page.encode()) < 3_000_000
    assert name.format(999) in page
    assert name.format(0) not in page.partition("Comparison")[0]
    assert "And 900 more; report.json beside this page lists all." in page
    assert page.count("<img ") == 13
    assert "3 more would make this page too large" in page
