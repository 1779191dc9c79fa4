"""A window that differs from the reference is drift by the signals that see it; too few pictures are said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from materializers.drift_reference import MEASURED, DriftReference
from materializers.drift_report import DriftSignal
from steps.monitoring.drift.settings import DriftSettings, FixedThresholds
from steps.monitoring.drift.signals import drift_signals, stability_index

CLASSES = ("bags", "dresses", "tops")
SETTINGS = DriftSettings()
MODEL = "a1" * 32


def answers(
    n: int,
    *,
    seed: int,
    brighter: float = 0.0,
    moved: float = 0.0,
    shares: tuple[float, ...] = (1, 1, 1),
    measured: int | None = None,
) -> DriftReference:
    """Answers on n pictures of a world that can be made brighter, or other pictures, or other classes."""
    draw = np.random.default_rng(seed)
    kinds = draw.choice(3, size=n, p=np.array(shares) / sum(shares))
    rows = pd.DataFrame(
        {
            "image_id": [f"{seed}-{number}" for number in range(n)],
            "split": "test",
            "label": [CLASSES[kind] for kind in kinds],
            "embedded": True,
            **{name: draw.normal(100, 10, n) for name in MEASURED},
        }
    )
    rows["brightness"] += brighter
    rows.loc[np.arange(n) >= (n if measured is None else measured), list(MEASURED)] = np.nan
    logits = draw.normal(size=(n, 3))
    logits[np.arange(n), kinds] += 4
    embeddings = draw.normal(size=(n, 8)).astype(np.float32)
    embeddings[:, 0] += moved
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return DriftReference(rows, scores.astype(np.float32), embeddings, CLASSES, MODEL)


REFERENCE = answers(600, seed=0)


def compared(window: DriftReference, **settings: object) -> dict[str, DriftSignal]:
    """Each signal by its name."""
    found = drift_signals(REFERENCE, window, threshold=0.6, settings=SETTINGS.model_copy(update=settings))
    return {signal.name: signal for signal in found}


def drifting(window: DriftReference, **settings: object) -> set[str]:
    """The signals that drift."""
    return {name for name, signal in compared(window, **settings).items() if signal.outcome == "drift"}


def test_the_same_world_is_no_drift() -> None:
    """No signal of a window like the reference drifts, and each says of how many pictures."""
    found = compared(answers(400, seed=1))
    assert {signal.outcome for signal in found.values()} == {"no drift"}
    assert {(signal.n_reference, signal.n_window) for signal in found.values()} == {(600, 400)}


@pytest.mark.parametrize(
    ("window", "seen"),
    [
        (answers(400, seed=2, brighter=5), {"brightness"}),
        (answers(400, seed=3, moved=1), {"embeddings"}),
        (answers(400, seed=4, shares=(3, 1, 1)), {"scores", "class_shares", "class_shares_stability"}),
    ],
    ids=["brighter", "other pictures", "one class more often"],
)
def test_what_differs_drifts(window: DriftReference, seen: set[str]) -> None:
    """Exactly the signals that see it do, so that a person knows what changed."""
    assert drifting(window) == seen


def test_abstaining_more_often_is_drift() -> None:
    """An unsure model, whose answers stay the same, is seen by its probabilities and abstentions."""
    window = answers(400, seed=5)
    unsure = window.scores * 0.4 + 0.2
    flat = DriftReference(
        window.rows,
        (unsure / unsure.sum(axis=1, keepdims=True)).astype(np.float32),
        window.embeddings,
        CLASSES,
        MODEL,
    )
    assert {"top_probability", "abstention"} <= drifting(flat)


def test_too_few_pictures_are_insufficient_data_and_not_all_well() -> None:
    """Nothing is said of a window of fewer than the minimum, and why."""
    found = compared(answers(99, seed=6, brighter=50))
    assert {signal.outcome for signal in found.values()} == {"insufficient data"}
    assert all(signal.value is None for signal in found.values())
    assert found["scores"].lacking == "the window has 99 such pictures, 100 at least are needed"


def test_pictures_that_were_not_kept_are_not_looked_at() -> None:
    """Of a window of which few pictures were kept, the answers are compared and the looks are not."""
    found = compared(answers(400, seed=7, measured=20))
    assert found["brightness"].outcome == "insufficient data"
    assert found["brightness"].n_window == 20
    assert found["scores"].outcome == "no drift"


def test_what_is_not_known_of_every_picture_is_not_taken_for_drift() -> None:
    """Old pictures of the reference without their bytes: that signal says nothing, the others do."""
    reference, window = answers(600, seed=0), answers(400, seed=1)
    reference.rows.loc[:199, "byte_count"] = np.nan
    found = {each.name: each for each in drift_signals(reference, window, threshold=0.6, settings=SETTINGS)}
    assert found.pop("byte_count").lacking == "not known of 200 of 600 pictures of the reference"
    assert {signal.outcome for signal in found.values()} == {"no drift"}


def test_fixed_thresholds_stand_beside_and_decide_only_where_they_are_asked_to() -> None:
    """On 100 pictures of the same world the usual index exceeds 0.1, and the calibrated threshold not."""
    window = answers(100, seed=11)
    found = compared(window)
    cries_wolf = {name for name, signal in found.items() if signal.fixed and signal.fixed.exceeded}
    assert cries_wolf
    assert drifting(window) == set()
    assert drifting(window, decided_by="fixed") == cries_wolf


def test_the_index_is_that_of_the_field() -> None:
    """Over tenths of the reference; of the same shares it is nothing."""
    values = np.arange(1000.0)
    assert stability_index(values, values) == 0
    assert stability_index(values, values + 1000) > 1


@pytest.mark.parametrize("kinds", [None, 3, 40])
def test_the_index_is_that_of_counts_between_quantiles(kinds: int | None) -> None:
    """Also of values of which many are equal: a value on an edge is in the interval that begins there."""
    draw = np.random.default_rng(12)
    was, now = (draw.normal(size=n) if kinds is None else draw.integers(0, kinds, n) for n in (777, 300))
    edges = np.unique(np.quantile(was, np.arange(1, 10) / 10))
    shares = []
    for values in (was, now):
        counts = np.bincount(np.digitize(values, edges), minlength=len(edges) + 1) + 0.5
        shares.append(counts / counts.sum())
    expected = ((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum()
    assert stability_index(was, now) == pytest.approx(expected)


def test_more_pictures_than_are_compared_are_drawn() -> None:
    """A limit on both sides keeps a decision within its time."""
    found = compared(answers(400, seed=9), most_pictures=200)
    assert {(signal.n_reference, signal.n_window) for signal in found.values()} == {(200, 200)}


def test_other_classes_cannot_be_compared() -> None:
    """A window of a model with other classes is no window of this one."""
    other = answers(200, seed=10)
    renamed = DriftReference(other.rows, other.scores, other.embeddings, ("a", "b", "c"), MODEL)
    with pytest.raises(ValueError, match="has the classes"):
        drift_signals(REFERENCE, renamed, threshold=None, settings=SETTINGS)


@pytest.mark.parametrize(
    "values",
    [
        {"false_alarms": 0.0},
        {"false_alarms": 0.9},
        {"permutations": 999},
        {"minimum_pictures": 10},
        {"fixed": {"data_drift": -1}},
        {"fixed": {"data_drift": 0.3}},
        {"threshold": 0.1},
    ],
)
def test_a_threshold_out_of_range_is_refused(values: dict[str, object]) -> None:
    """Whatever nobody can decide by, the alert above the retraining among it, and a misspelt key."""
    with pytest.raises(ValidationError):
        DriftSettings.model_validate(values)
    assert FixedThresholds().data_drift == 0.1
