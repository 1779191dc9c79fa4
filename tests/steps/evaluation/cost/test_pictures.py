"""The picture of a cost is small, and there whatever was measured."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from materializers.evaluation.cost import Cost, Probe
from steps.evaluation.cost.pictures import cost_picture

HELD = Probe(rate_per_s=90.0, n=400, p50_ms=3.0, p99_ms=40.0, held=True)
SLOW = Probe(rate_per_s=95.0, n=30, p50_ms=300.0, p99_ms=900.0, held=False, reason="too slow")
FAILED = Probe(rate_per_s=97.0, n=3, p50_ms=None, p99_ms=None, held=False, reason="2 of 3 requests failed")


@pytest.mark.parametrize("tried", [(HELD,), (SLOW, HELD), (FAILED,), (FAILED, SLOW, HELD)])
def test_the_picture_is_a_small_png(tried: tuple[Probe, ...]) -> None:
    """Rates that held, that did not, and those without a percentile."""
    cost = Cost(offered_per_s=10.0, p99_limit_ms=500.0, tried=tried)
    data = cost_picture(np.random.default_rng(0).exponential(5, 120), cost)
    assert len(data) < 60_000
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.width > image.height > 100) == ("PNG", True)


def test_another_rate_is_another_picture() -> None:
    """What was tried is in it; so are latencies, and how many requests failed."""
    latencies = np.full(100, 5.0)
    some_failed = np.where(np.arange(100) < 20, np.inf, latencies)
    cost = Cost(offered_per_s=10.0, p99_limit_ms=500.0, tried=(HELD,))
    other = cost.model_copy(update={"tried": (SLOW, HELD)})
    drawn = {cost_picture(latencies, cost), cost_picture(latencies, other), cost_picture(some_failed, cost)}
    assert len(drawn) == 3


def test_nothing_answered_is_drawn_too() -> None:
    """All requests at the offered rate failed."""
    cost = Cost(offered_per_s=10.0, p99_limit_ms=500.0, tried=(FAILED,))
    assert cost_picture(np.full(10, np.inf), cost).startswith(b"\x89PNG")
