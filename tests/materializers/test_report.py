"""Every report is stored whole, named by the digest of its numbers, and shown as a harmless page."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from zenml.artifact_stores import BaseArtifactStore
from zenml.artifact_stores.local_artifact_store import LocalArtifactStore
from zenml.enums import VisualizationType

from materializers.erasure import PassedOver
from materializers.errors import DamagedArtifact
from materializers.evaluation.cost import Cost
from materializers.report import (
    PAGE_PICTURE_BYTES,
    Report,
    ReportMaterializer,
    counted,
    json_digest,
    number,
    percent,
    short,
    signed,
)
from materializers.split_report import MergedGroup
from materializers.splits import SIDES
from tests.materializers import examples

REPORTS: dict[str, Report] = {
    "verdict passed": examples.full_verdict(),
    "verdict refused": examples.full_verdict("refused"),
    "verdict not assessed": examples.verdict(examples.rule(None), outcome="not_assessed"),
    "evaluation report": examples.evaluation_report(),
    "full evaluation report": examples.full_evaluation_report(),
    "load test": examples.load_test(),
    "end to end": examples.end_to_end(),
    "load test not assessed": examples.load_test(
        cost=Cost(not_assessed="nobody answered"), outcome="not_assessed", rules=(examples.rule(None),)
    ),
    "data report": examples.data_report(),
    "screening": examples.screening(),
    "split report": examples.split_report(),
    "split report refused": examples.split_report("refused"),
    "tuning report": examples.tuning_report(),
    "tuning report without trials": examples.tuning_report(trials=(), best={}, importances={}),
    "tuning report of failures": examples.tuning_report(best={}, cross_validation=None),
    "release live": examples.release(),
    "release proposed": examples.release(status="proposed", champion=None, url=None, since=None),
    "release refused": examples.release(status="refused", reasons=("no approval",), candidate=None),
    "approval": examples.approval(),
    "approved change": examples.change_approval(),
    "advisory audit": examples.advisory_audit(),
    "clean advisory audit": examples.advisory_audit(found=()),
    "advisory audit not run": examples.advisory_audit(found=(), not_run="not run: no network"),
    "audit entry": examples.audit_entry(),
    "first audit entry": examples.audit_entry(number=1, previous=None, act="change-policy", subject={}),
    "drift report": examples.drift_report(),
    "drift report without drift": examples.drift_report("no drift"),
    "reaction proposed": examples.reaction(),
    "reaction rolled back": examples.reaction("rolled_back"),
    "reaction to nothing": examples.reaction("nothing"),
    "rebased reference": examples.rebased_reference("1" * 64, "2" * 64),
    "trigger decision": examples.trigger_decision(),
    "signals": examples.signals(),
    "data difference": examples.data_diff(),
    "reproduction equal": examples.reproduction(),
    "reproduction differs": examples.reproduction(outcome="differs"),
    "erasure": examples.erasure(),
    "erasure not proven": examples.erasure(outcome="found", found=("notes/letter.pdf",)),
    "erasure not searched": examples.erasure(
        outcome="not_proven",
        not_searchable=("ab" * 32,),
        passed_over=(PassedOver(place="deliveries/1/a.zip", number=3, why="a.tar: packed"),),
    ),
}
HARMLESS = {"html", "head", "meta", "title", "style", "body", "header", "main", "footer"} | {
    *("h1", "h2", "p", "div", "span", "strong", "code", "ul", "li", "details", "summary"),
    *("table", "tr", "th", "td", "figure", "figcaption", "img"),
}
EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'
EVIL_GROUP = MergedGroup(name=EVIL, kept="test", set_apart={"train": 1})
all_reports = pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)


class Reader(HTMLParser):
    """Collects a page's tags, attributes and visible text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text: dict[str, str] = {}
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        self._inside = tag

    def handle_data(self, data: str) -> None:
        self.text[self._inside] = self.text.get(self._inside, "") + data


def first_line(report: Report) -> str:
    """The words that a reader of the page sees first, in large."""
    return " ".join(Reader(report.page()).text["h1"].split())


def materializer_of(store: BaseArtifactStore) -> ReportMaterializer:
    """A materializer that stores one report in a store."""
    return ReportMaterializer(f"{store.path}/report/1", store)


@pytest.mark.parametrize(
    "name", ["data report", "verdict refused", "release live", "approval", "split report"]
)
def test_a_report_and_its_pictures_read_back_as_they_were(name: str, store: BaseArtifactStore) -> None:
    """What a later step receives has the same numbers, times, digest and pictures."""
    report, materializer = REPORTS[name], materializer_of(store)
    materializer.save(report)
    loaded = materializer.load(type(report))
    assert loaded == report
    assert loaded.digest == report.digest
    assert loaded.pictures == report.pictures


@all_reports
def test_every_report_keeps_its_digest_through_json(report: Report) -> None:
    """The digest of what is read is the digest of what was written."""
    again = type(report).model_validate_json(report.model_dump_json(indent=2))
    assert again.digest == report.digest


def test_a_digest_is_of_canonical_json() -> None:
    """Neither the order of keys nor another process changes a digest."""
    assert json_digest({"b": [1, 2.5], "a": "ä"}) == json_digest({"a": "ä", "b": [1, 2.5]})
    assert json_digest({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    assert json_digest({"a": 1}) != json_digest({"a": 1.5})


def test_pictures_are_outside_the_digest(disk: LocalArtifactStore) -> None:
    """A picture can be erased beside a stored report, and the evidence still holds."""
    report, materializer = examples.data_report(), materializer_of(disk)
    assert report.with_pictures({"another": examples.png(9)}).digest == report.digest
    materializer.save(report)
    gone = Path(materializer.uri) / "pictures" / "class 01 bags.png"
    gone.unlink()
    loaded = materializer.load(type(report))
    assert loaded.digest == report.digest
    assert set(report.pictures) - set(loaded.pictures) == {"class 01 bags"}


def test_pictures_come_back_in_the_order_of_their_names(disk: LocalArtifactStore) -> None:
    """The page of a report that was read shows what the first page showed, in one order on any disk."""
    materializer = materializer_of(disk)
    pictures = {name: examples.png(3) for name in ("10 z", "02 b", "01 a")}
    materializer.save(examples.screening().with_pictures(pictures))
    (Path(materializer.uri) / "pictures" / ".02 b.png.0a1b.part").write_bytes(b"what a killed save left")
    assert list(materializer.load(type(examples.screening())).pictures) == ["01 a", "02 b", "10 z"]


@pytest.mark.parametrize("name", ["", "../outside", "a/b", ".hidden"])
def test_a_picture_cannot_leave_its_folder(name: str) -> None:
    """A picture's name is a file's name and nothing else."""
    with pytest.raises(ValueError, match="cannot be named"):
        examples.screening().with_pictures({name: examples.png(1)})


DAMAGE = {
    "cut off": lambda text: text[: len(text) // 2],
    "empty": lambda _: "",
    "not JSON": lambda _: "passed",
    "an unknown key": lambda text: json.dumps(json.loads(text) | {"override": True}),
    "a later format": lambda text: json.dumps(json.loads(text) | {"format_version": 99}),
    "a missing key": lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != "rules"}),
    "an unknown outcome": lambda text: json.dumps(json.loads(text) | {"outcome": "fine"}),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_report_is_named(damage: Any, disk: LocalArtifactStore) -> None:
    """The error says which report cannot be read, and what to do."""
    report, materializer = examples.full_verdict(), materializer_of(disk)
    materializer.save(report)
    path = Path(materializer.uri) / "report.json"
    path.write_text(damage(path.read_text()))
    named = f"The Verdict at {re.escape(materializer.uri)} cannot be read .*python run.py --train"
    with pytest.raises(DamagedArtifact, match=re.compile(named, re.DOTALL)):
        materializer.load(type(report))


def test_a_missing_report_is_named(store: BaseArtifactStore) -> None:
    """A folder in which a save was killed before the JSON holds no report."""
    materializer = materializer_of(store)
    with pytest.raises(DamagedArtifact, match=r"The Verdict at .* cannot be read"):
        materializer.load(type(examples.full_verdict()))


def test_an_unknown_key_is_refused_when_a_report_is_made() -> None:
    """A typo in a field's name is an error, not a value that is lost."""
    with pytest.raises(ValidationError, match="outcom"):
        examples.verdict(outcom="passed")


@all_reports
def test_every_page_is_complete_small_and_harmless(report: Report) -> None:
    """A page has a first line, no script, no address to fetch from, and is far below 2 MB."""
    page = report.page()
    reader = Reader(page)
    assert reader.text["h1"].strip()
    assert reader.text["title"].strip()
    assert reader.tags <= HARMLESS
    fetched = [value or "" for name, value in reader.attributes if name in ("src", "href", "srcset")]
    assert all(value.startswith("data:image/png;base64,") for value in fetched)
    assert not [name for name, _ in reader.attributes if name.startswith("on")]
    assert "url(" not in page
    assert "default-src 'none'" in page
    assert report.digest in page
    assert len(page.encode()) < 2_000_000


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("verdict passed", "Passed"),
        ("verdict refused", "Refused"),
        ("verdict not assessed", "Not assessed"),
        ("evaluation report", "Accuracy 0.934"),
        ("full evaluation report", "Accuracy 0.934"),
        ("load test", "Version 3 under load: refused"),
        ("load test not assessed", "Version 3 under load: not assessed"),
        ("data report", "Passed"),
        ("split report", "Passed"),
        ("split report refused", "Refused"),
        ("screening", "3,000 rows read, 4 set aside"),
        ("release live", "Version 3 is live in production"),
        ("release proposed", "Version 3 is proposed for production"),
        ("release refused", "Refused: nothing goes to production"),
        ("approval", "Version 3 approved"),
        ("approved change", "Change approved"),
        ("advisory audit", "1 known"),
        ("clean advisory audit", "None known"),
        ("advisory audit not run", "Not assessed"),
        ("audit entry", "approve of version 3"),
        ("first audit entry", "change-policy"),
        ("trigger decision", "Retrain"),
        ("signals", "Fired: new data"),
        ("data difference", "2 added, 1 withdrawn, 1 relabelled"),
        ("erasure", "Erased"),
        ("erasure not proven", "Not proven: found in 1 file"),
        ("erasure not searched", "Erased where it is known; not proven"),
    ],
)
def test_the_first_line_of_a_page_is_its_answer(name: str, line: str) -> None:
    """Who opens the page in the dashboard reads the answer first."""
    assert first_line(REPORTS[name]) == line


@pytest.mark.parametrize(
    "report",
    [
        examples.verdict(examples.rule(0.1, rule=EVIL, subject=EVIL, reason=EVIL), model_name=EVIL),
        examples.data_report().model_copy(update={"source_name": EVIL, "per_class": {EVIL: 3}}),
        examples.screening()
        .model_copy(update={"conflicts": (EVIL,), "missing_values": {EVIL: 1}})
        .with_pictures({EVIL.replace("/", ""): examples.png(1)}),
        examples.full_evaluation_report(EVIL),
        examples.load_test(url=EVIL, environment=EVIL),
        examples.end_to_end(url=EVIL, exchanges=(examples.exchange(sent=EVIL, answered=EVIL),)),
        examples.split_report().model_copy(
            update={"counts": {EVIL: dict.fromkeys(SIDES, 1)}, "merged_groups": (EVIL_GROUP,)}
        ),
        examples.approval(by=EVIL, reason=EVIL, actor=EVIL),
        examples.advisory_audit(source=EVIL, not_run=EVIL, locks={EVIL: EVIL}),
        examples.audit_entry(by=EVIL, reason=EVIL, actor=EVIL, subject={EVIL: EVIL, "version": EVIL}),
        examples.release(model_name=EVIL, url=EVIL, reasons=(EVIL,)),
        examples.trigger_decision().model_copy(update={"reasons": (EVIL,)}),
        examples.data_diff().model_copy(update={"columns": {EVIL: 1}}),
        examples.erasure(by=EVIL, reason=EVIL, found=(EVIL,)),
        examples.reproduction(run=EVIL, reasons=(EVIL, EVIL)),
    ],
    ids=lambda report: type(report).__name__,
)
def test_a_label_with_markup_is_shown_as_text(report: Report) -> None:
    """Labels, paths and reasons come from outside; none becomes a tag of the page."""
    page = report.page()
    reader = Reader(page)
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;" in page
    assert reader.tags <= HARMLESS
    assert not [name for name, _ in reader.attributes if name.startswith("on")]


def test_a_page_has_room_for_some_pictures_and_counts_the_rest() -> None:
    """With pictures for hundreds of classes the page stays small and says how many it left out."""
    pictures = {f"{number:03d} class": bytes(PAGE_PICTURE_BYTES // 4) for number in range(9)}
    page = examples.screening().with_pictures(pictures).page()
    assert page.count("<img ") == 4
    assert "5 more would make this page too large" in page
    assert len(page.encode()) < 2_000_000


def test_the_page_is_stored_beside_the_report(store: BaseArtifactStore) -> None:
    """The dashboard is given the address of the page, and the page is there."""
    report, materializer = examples.full_verdict(), materializer_of(store)
    (uri, kind), *others = materializer.save_visualizations(report).items()
    with store.open(uri, "rb") as file:
        assert file.read().decode() == report.page()
    assert (kind, others) == (VisualizationType.HTML, [])


@all_reports
def test_metadata_and_cache_key_name_the_digest(report: Report) -> None:
    """The dashboard shows the digest first, and ZenML's cache goes by it."""
    materializer = ReportMaterializer("nowhere")
    metadata = materializer.extract_metadata(report)
    assert metadata["digest"] == report.digest == materializer.compute_content_hash(report)
    assert len(metadata) > 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0.93412, "0.9341"),
        (3000, "3,000"),
        (1.0, "1"),
        (12345.678, "12,345.7"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
    ],
)
def test_a_number_is_shown_with_four_digits(value: float | None, shown: str) -> None:
    """Large numbers have their thousands apart, what is missing is a dash."""
    assert number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0.93412, "0.934"),
        (0.9, "0.9"),
        (1.0, "1"),
        (0.99996, "1"),
        (-0.0312, "-0.031"),
        (0.00017, "0.00017"),
        (12.4123, "12.41"),
        (float("nan"), "nan"),
    ],
)
def test_a_number_beside_many_others_has_three_decimals(value: float | None, shown: str) -> None:
    """Unless they would leave nothing of it, or it is large."""
    assert short(value) == shown


def test_a_difference_has_a_sign_and_a_share_is_in_percent() -> None:
    """Nobody takes a loss for a gain, or 0.5 for half a percent."""
    assert [signed(value) for value in (0.0169, -0.04, 0.0, None)] == ["+0.017", "−0.04", "0", "–"]
    assert [percent(value) for value in (0.0551, 1.0, 0.0, None)] == ["5.5 %", "100 %", "0 %", "–"]


def test_a_count_has_its_noun_in_the_right_number() -> None:
    """One row, two rows."""
    assert [counted(count, "row") for count in (0, 1, 3000)] == ["0 rows", "1 row", "3,000 rows"]
