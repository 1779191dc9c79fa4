"""What is recorded is what a trained model answers to pictures that it never saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.serving.recorded_answers import record


def test_a_trained_model_is_asked_about_its_test_pictures(tmp_path: Path) -> None:
    """One epoch on 200 pictures is better than guessing; each answer took some time."""
    found = record(tmp_path / "model", learnt=200, epochs=1)
    n = len(found.label)
    assert n > 1000
    assert found.name == f"{n:,} test pictures of data/*.zip"
    assert {len(each) for each in (found.true, found.probability, found.abstained, found.latency_ms)} == {n}
    assert np.bincount(found.true, minlength=len(found.classes)).min() > 0
    assert found.accuracy > 1 / len(found.classes)
    assert (found.latency_ms > 0).all()
    assert ((found.probability > 0) & (found.probability <= 1)).all()
