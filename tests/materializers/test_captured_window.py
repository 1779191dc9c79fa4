"""A window of traffic reads back as it was stored; one that changed is another, and a damaged one says so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from zenml.artifact_stores import BaseArtifactStore

from materializers.blobs import write_blob
from materializers.captured_window import CapturedWindow, CapturedWindowMaterializer
from materializers.errors import DamagedArtifact
from tests.materializers.examples import drift_reference, drift_report

REPORT = drift_report()
WINDOW = CapturedWindow(
    captured=REPORT.captured,
    performance=REPORT.performance,
    abstention_threshold=0.6,
    window=drift_reference(*(f"{number:064x}" for number in range(6))),
    reference=drift_reference(*(f"{number:064x}" for number in range(10, 18))),
)


def materializer_of(store: BaseArtifactStore) -> CapturedWindowMaterializer:
    """Stores one window."""
    return CapturedWindowMaterializer(f"{store.path}/window/1", store)


def test_a_window_reads_back_as_it_was(store: BaseArtifactStore) -> None:
    """Both tables and what it is, on disk and in a bucket."""
    materializer = materializer_of(store)
    materializer.save(WINDOW)
    back = materializer.load(CapturedWindow)
    assert (back.captured, back.performance) == (WINDOW.captured, WINDOW.performance)
    assert back.abstention_threshold == 0.6
    assert back.window.to_bytes() == WINDOW.window.to_bytes()
    assert back.reference.to_bytes() == WINDOW.reference.to_bytes()
    assert materializer.compute_content_hash(back) == materializer.compute_content_hash(WINDOW)
    assert materializer.extract_metadata(back)["pictures"] == 9_812


def test_another_window_has_another_hash(store: BaseArtifactStore) -> None:
    """What was tested of one window is never taken for another's, whichever part differs."""
    materializer = materializer_of(store)
    others = (
        replace(WINDOW, window=WINDOW.reference),
        replace(WINDOW, reference=WINDOW.window),
        replace(WINDOW, abstention_threshold=0.5),
    )
    hashes = {materializer.compute_content_hash(each) for each in (WINDOW, *others)}
    assert len(hashes) == 4


@pytest.mark.parametrize("name", ["window.json", "window/drift_reference.arrow"])
def test_a_damaged_window_says_what_mends_it(store: BaseArtifactStore, name: str) -> None:
    """Cut short or another file's content: a fault of its own, not a traceback of a library."""
    materializer = materializer_of(store)
    materializer.save(WINDOW)
    write_blob(store, f"{materializer.uri}/{name}", b"nothing")
    with pytest.raises(DamagedArtifact, match=r"python run\.py"):
        materializer.load(CapturedWindow)
