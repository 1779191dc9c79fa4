"""Windows of traffic for tests, each beside a reference."""

from __future__ import annotations

from pathlib import Path

from materializers.captured_window import CapturedWindow
from materializers.drift_reference import DriftReference
from materializers.drift_report import Captured
from materializers.release import Environment
from serving.predictor import Prediction
from steps.monitoring.traffic.captures import read_captures
from steps.monitoring.traffic.window import COLUMNS, window_sample
from tests.captured import CLASSES, EMBEDDING, MODEL, NOON, Asked, answered, shipped
from tests.captured import picture as asked_about
from tests.materializers.examples import drift_report
from tests.steps.monitoring.conftest import HOUR
from tests.steps.monitoring.drift.test_drift_signals import REFERENCE, answers


def beside(
    reference: DriftReference, window: DriftReference, *, environment: Environment = "staging"
) -> CapturedWindow:
    """A window of the hour before and the two after noon; of the accuracy nothing is known."""
    example = drift_report()
    about = example.captured.model_dump() | {
        **{"model_name": MODEL.name, "environment": environment, "model_digest": MODEL.digest},
        **{"since": NOON - HOUR, "until": NOON + 2 * HOUR, "pictures": len(window), "service": None},
        **{"measured": int(window.rows["brightness"].notna().sum())},
    }
    return CapturedWindow(
        captured=Captured.model_validate(about),
        performance=example.performance.model_copy(update={"outcome": "insufficient data", "reasons": ()}),
        abstention_threshold=0.0,
        window=window,
        reference=reference,
    )


def synthetic() -> CapturedWindow:
    """A window whose pictures are brighter than the reference's and lie elsewhere; none was kept."""
    return beside(REFERENCE, answers(200, seed=2, brighter=5, moved=2))


def captured(root: Path, spool: Path, environment: Environment, pictures: dict[str, bytes]) -> DriftReference:
    """Pictures, by the names of their requests, as a service captured them and monitoring measures them."""
    asked: dict[str, Asked] = {name: asked_about(data) for name, data in pictures.items()}
    assert all(isinstance(each.answer, Prediction) for each in asked.values())
    requests = [answered(name, each) for name, each in asked.items()]
    shipped(root, spool, requests, pictures=1.0, environment=environment)
    rows = read_captures(
        MODEL.name, environment, since=NOON - HOUR, until=NOON + 2 * HOUR, columns=(*COLUMNS,)
    )
    return window_sample(rows.assign(truth=""), CLASSES, MODEL.digest, len(EMBEDDING))
