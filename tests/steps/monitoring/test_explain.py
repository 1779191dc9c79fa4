"""A window that drifted is explained by a page of Evidently with the pictures that differ most."""

from __future__ import annotations

import base64
import json
import logging
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from materializers.captured_window import CapturedWindow
from materializers.drift_reference import DriftReference
from materializers.drift_report import DriftReport
from materializers.picture_sheet import places_of
from materializers.shards import picture_digest
from materializers.thumbnails import THUMBNAIL
from materializers.traces import INLINE
from serving.strip_metadata import strip_metadata
from steps.monitoring.assess import assess_window
from steps.monitoring.drift.settings import DriftSettings
from steps.monitoring.explain import PICTURES, different_most, explain_window, explained_signals
from steps.monitoring.settings import MonitorSettings
from tests.conftest import PROJECT
from tests.materializers.examples import drift_report
from tests.serving.pictures import encode, gradient
from tests.steps.monitoring.drift.test_drift_signals import REFERENCE, answers
from tests.steps.monitoring.looked_at import beside, captured, synthetic

FEW = DriftSettings(minimum_pictures=50)
BRIGHT = 4


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    """What a process of its own said that made a page."""
    command = [sys.executable, "-m", "tests.steps.monitoring.explains_alone"]
    said = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    told: dict[str, Any] = json.loads(said.stdout)
    return told


def photograph(seed: int, *, add: int = 0) -> bytes:
    """A picture of a world that can be brighter."""
    pixels = np.asarray(gradient(32, 24, seed), dtype=int) // 3 + add
    return encode(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))


@pytest.fixture
def brighter(root: Path, tmp_path: Path) -> CapturedWindow:
    """Sixty captured pictures beside sixty of the reference: all are brighter, and some by far."""
    before = {f"before {seed}": photograph(seed) for seed in range(60)}
    after = {
        f"after {seed}": photograph(seed, add=120 if seed < BRIGHT else 40) for seed in range(100, 160)
    } | {f"bright {seed}": photograph(seed, add=140 + seed) for seed in range(BRIGHT)}
    reference = captured(root, tmp_path / "before", "production", before)
    return beside(reference, captured(root, tmp_path / "after", "staging", after))


def strips(page: str) -> list[bytes]:
    """The pictures inside a page."""
    return [base64.b64decode(match[1] + b"==") for match in INLINE.finditer(page.encode())]


def explained(window: CapturedWindow, when: str = "on alarm") -> str | None:
    """The page of a window, as it is assessed."""
    settings = MonitorSettings.model_validate({"explain": when})
    return explain_window(window, assess_window(window, FEW), settings)


def test_the_pictures_that_moved_most_come_first(brighter: CapturedWindow) -> None:
    """Of a window that is brighter, the brightest, each by the digests that ``--forget`` knows it by."""
    page = explained(brighter)
    assert page is not None
    report = assess_window(brighter, FEW)
    named = re.findall(r"<h2>Moved most by (.+)</h2>", page)
    assert named == [name.replace("_", " ") for name in explained_signals(report)]
    assert "brightness" in named
    places = places_of(strips(page)[named.index("brightness")])
    assert places is not None
    assert {box[0] for boxes in places.values() for box in boxes} == {
        number * THUMBNAIL for number in range(PICTURES)
    }
    first = {digest for digest, ((left, *_),) in places.items() if left < BRIGHT * THUMBNAIL}
    bright = {strip_metadata(photograph(seed, add=140 + seed)).data for seed in range(BRIGHT)}
    assert {picture_digest(data) for data in bright} <= first
    for reason in report.reasons:
        assert reason.replace("&", "&amp;") in page


def test_a_page_says_what_decided_and_has_evidentlys_comparison(alone: dict[str, Any]) -> None:
    """Statistics, the top probability and the predicted class are columns of it."""
    for name in ("brightness", "aspect", "top_probability", "predicted_class"):
        assert name in alone["page"]


def test_what_evidently_says_is_read_where_no_script_runs(brighter: CapturedWindow) -> None:
    """As in the dashboard: a row a column, by which method, and how to see the charts."""
    without = re.sub(r"<script.*?</script>", "", explained(brighter) or "", flags=re.DOTALL)
    for name in ("brightness", "top probability", "predicted class"):
        assert re.search(rf"<td>{name}</td><td>[^<]+</td><td>[^<]+</td><td>[^<]+</td>", without), name
    assert "<em>Download</em>" in without


def test_nothing_is_reached_and_nobody_is_told_of_its_use(alone: dict[str, Any]) -> None:
    """Making a page opens no connection and starts no process; Evidently's reports on its use are off."""
    assert alone["tried"] == []
    assert alone["tracking"] is False


def test_the_page_loads_nothing(alone: dict[str, Any]) -> None:
    """A browser without a network shows it: scripts and fonts are inside."""
    markup = re.sub(r"<script>.*?</script>|<style>.*?</style>", "", alone["page"], flags=re.DOTALL)
    assert not re.findall(r"<(?:link|script|img|iframe|object)\b[^>]*", markup)
    styles = "".join(re.findall(r"<style>(.*?)</style>", alone["page"], flags=re.DOTALL))
    assert {url[:5] for url in re.findall(r"url\(['\"]?([^)]{5})", styles)} <= {"data:"}


def test_evidently_is_not_imported_where_no_page_is_wanted(alone: dict[str, Any]) -> None:
    """It takes seconds, and most days bring no alarm."""
    assert (alone["unwanted"], alone["imported"]) == (None, False)


@pytest.mark.parametrize(
    ("when", "moved"), [("never", 2.0), ("on alarm", 0.0)], ids=["never", "on alarm, and there is none"]
)
def test_a_page_that_is_not_wanted_is_not_made(when: str, moved: float) -> None:
    """By the setting, and by the report."""
    window = beside(REFERENCE, answers(200, seed=1, moved=moved))
    assert assess_window(window, FEW).alarm is (moved > 0)
    assert explained(window, when) is None


def test_always_explains_a_window_without_an_alarm(root: Path) -> None:
    """By the signal that came nearest; no picture was kept, and the page goes without."""
    page = explained(beside(REFERENCE, answers(200, seed=1)), "always")
    assert page is not None
    assert "No drift" in page
    assert strips(page) == []


def test_an_empty_window_has_no_page() -> None:
    """There is nothing to compare."""
    assert explained(beside(REFERENCE, answers(0, seed=1)), "always") is None


def test_a_page_that_cannot_be_made_is_said_and_stops_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where Evidently is broken the run goes on, and the log says why there is no page."""
    monkeypatch.setitem(sys.modules, "evidently", None)
    with caplog.at_level(logging.WARNING, logger="shutterline"):
        assert explained(synthetic()) is None
    assert "could not be made" in caplog.text


def test_a_name_of_a_class_runs_nothing(root: Path) -> None:
    """A delivery may name its classes as it likes; Evidently writes them into a script."""
    evil = "</script><script>alert(1)</script>"
    names = (evil, "dresses", "tops")
    sides = [replace(side, classes=names) for side in (REFERENCE, answers(200, seed=2, moved=2))]
    page = explained(beside(*sides))
    assert page is not None
    assert "alert(1)" in page
    assert "<script>alert" not in page


def test_a_window_without_pictures_is_explained_by_its_answers(root: Path) -> None:
    """Where pictures are not kept Evidently has the answers alone."""
    window = answers(200, seed=4, shares=(3, 1, 1), measured=0)
    page = explained(beside(REFERENCE, window))
    assert page is not None
    assert "predicted_class" in page
    assert "brightness" not in page[page.index("drawDashboard") :]


def test_both_measures_of_the_class_shares_are_explained_once() -> None:
    """They look at the same answers."""
    report = assess_window(beside(REFERENCE, answers(400, seed=4, shares=(3, 1, 1))), FEW)
    drifting = {signal.name for signal in report.signals if signal.outcome == "drift"}
    assert {"class_shares", "class_shares_stability"} <= drifting
    assert "class_shares_stability" not in explained_signals(report)
    assert set(explained_signals(report)) <= drifting


def test_nothing_compared_is_nothing_explained() -> None:
    """A report that says ``insufficient data`` names no signal."""
    report: DriftReport = drift_report()
    lacking = tuple(signal.model_copy(update={"p": None}) for signal in report.signals)
    assert explained_signals(report.model_copy(update={"signals": lacking})) == []


def moved_rows(window: DriftReference) -> list[str]:
    """The second half of a window."""
    return list(window.rows["image_id"].iloc[len(window) // 2 :])


def test_of_embeddings_those_that_lie_elsewhere_come_first() -> None:
    """By a classifier that did not learn from them."""
    window = answers(200, seed=5)
    window.embeddings[100:, 0] += 6
    first = different_most("embeddings", beside(REFERENCE, window))[:90]
    assert len(set(first) & set(moved_rows(window))) >= 85


@pytest.mark.parametrize("name", ["scores", "top_probability", "abstention", "class_shares"])
def test_of_answers_those_come_first_that_moved_the_shares(name: str) -> None:
    """Of a window with more of one class its pictures, of an unsure model the unsure ones; each once."""
    window = answers(200, seed=6)
    scores = window.scores.copy()
    if name in ("scores", "class_shares"):
        scores[100:] = (0.01, 0.01, 0.98)
    else:
        scores[100:] = (0.4, 0.3, 0.3)
    changed = DriftReference(window.rows, scores, window.embeddings, window.classes, window.model)
    found = different_most(name, beside(REFERENCE, changed))
    assert len(found) == len(set(found))
    tops = scores[:, 2] >= 0.98 if name in ("scores", "class_shares") else scores.max(axis=1) <= 0.4
    assert set(found[:50]) <= set(window.rows["image_id"][tops])


def test_pictures_that_were_not_kept_are_not_shown() -> None:
    """What was captured without its picture has none to show."""
    window = answers(200, seed=7, brighter=50, measured=30)
    assert set(different_most("embeddings", beside(REFERENCE, window))) == set(window.rows["image_id"][:30])
