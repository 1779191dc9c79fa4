"""How well a score tells unknown pictures from known ones."""

import numpy as np
import pytest

from steps.evaluation.unknown_pictures.detection import FAR, KNOWN, NEAR, detections
from steps.evaluation.unknown_pictures.scoring import Scored


def scores(kind: str, low: float, high: float, count: int = 100, seed: int = 0) -> Scored:
    """Scores that are drawn between two bounds."""
    sure = np.random.default_rng([seed, len(kind)]).uniform(low, high, count)
    return Scored(np.array([kind] * count), sure, None)


def test_pictures_that_the_model_is_less_sure_of_are_detected() -> None:
    """All of them: 1; as sure of as of the known ones: a coin; surer: below it. Each with interval and n."""
    scored = {
        KNOWN: scores("known", 0.8, 1.0),
        NEAR: scores("jigsaw", 0.8, 1.0, seed=1),
        FAR: scores("noise", 0.2, 0.6),
    }
    found = detections(scored, 0.5, resamples=200, seed=0)
    assert set(found) == {"near", "far", "jigsaw", "noise"}
    assert found["far"].auroc.model_dump() == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 200}
    coin = found["near"].auroc
    assert coin.low is not None
    assert coin.high is not None
    assert coin.low < 0.5 < coin.high
    assert coin.high - coin.low < 0.25
    swapped = {KNOWN: scored[FAR], NEAR: scored[KNOWN], FAR: scored[KNOWN]}
    assert detections(swapped, 0.5, resamples=100, seed=0)["near"].auroc.value == 0


def test_how_many_unknown_pictures_get_an_answer() -> None:
    """At the model's threshold, with Wilson's interval."""
    half = Scored(np.array(["flat"] * 100), np.arange(1, 101) / 100, None)
    found = detections({KNOWN: half, NEAR: half, FAR: half}, 0.75, resamples=100, seed=0)
    assert found["flat"].answered.value == pytest.approx(0.26)
    assert found["flat"].answered.n == 100


def test_a_near_picture_is_drawn_as_often_as_what_it_was_made_of() -> None:
    """A pair whose scores rise and fall together says more than two pictures that have nothing in common."""
    known = scores("known", 0.5, 1.0, 200)
    pair = Scored(np.array(["jigsaw"] * 200), known.sure - 0.1, None)
    found = detections({KNOWN: known, NEAR: pair, FAR: pair}, 0, resamples=500, seed=0)
    tied, loose = found["near"].auroc, found["far"].auroc
    assert tied.value == loose.value
    assert None not in (tied.high, tied.low, loose.high, loose.low)
    assert tied.high - tied.low < 0.6 * (loose.high - loose.low)  # type: ignore[operator]
