"""Captures and feedback of a rollout as the store has them, drawn with known differences."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from materializers.release import Release
from steps.deployment.observing.outcomes import CAPTURED, Outcomes, outcomes_of
from steps.monitoring.traffic.labels import POSTED
from tests.materializers.examples import arm, release

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
CLASSES = ("bags", "shoes", "tops")
DAY_S = 86_400.0


def at(seconds: float) -> datetime:
    """A moment after the begin."""
    return BEGIN + timedelta(seconds=seconds)


def captures(
    n: int,
    *,
    seed: int = 0,
    prefix: str = "c",
    seconds: float = DAY_S,
    accuracy: float = 0.9,
    errors: float = 0.0,
    rejections: float = 0.0,
    slower: float = 1.0,
    abstention: float = 0.02,
    confidence: float = 8.0,
    only: str | None = None,
) -> pd.DataFrame:
    """Requests of one picture, spread over a time; ``true`` is what the answer should have been."""
    generator = np.random.default_rng(seed)
    drawn = generator.random(n)
    status = np.where(drawn < errors, 503, np.where(drawn < errors + rejections, 400, 200))
    answered = status == 200
    label = np.full(n, only) if only else generator.choice(CLASSES, n)
    wrong = np.array([CLASSES[(CLASSES.index(each) + 1) % len(CLASSES)] for each in label], dtype=object)
    true = np.where(generator.random(n) < accuracy, label, wrong)
    times = np.sort(generator.uniform(0, seconds, n))
    return pd.DataFrame(
        {
            "request_id": [f"{prefix}{number}" for number in range(n)],
            "position": 0,
            "at": BEGIN + pd.to_timedelta(times.round(3), unit="s"),
            "latency_ms": generator.lognormal(3.8, 0.4, n) * slower,
            "status": status,
            "input_digest": [f"{seed}-{prefix}{number}" for number in range(n)],
            "label": _or_none(label, answered),
            "probability": np.where(answered, generator.beta(confidence, 1, n), np.nan),
            "abstained": _or_none(generator.random(n) < abstention, answered),
            "true": true,
        }
    )


def _or_none(values: np.ndarray, answered: np.ndarray) -> np.ndarray:
    """None where nothing was answered."""
    given = values.astype(object)
    given[~answered] = None
    return given


def labels_for(rows: pd.DataFrame, *, later_s: float = 0.0, share: float = 1.0) -> pd.DataFrame:
    """The true label of a share of the requests, some time after each."""
    some = rows.iloc[: round(share * len(rows))]
    return feedback(some, some["at"] + timedelta(seconds=later_s), label=some["true"])


def values_for(rows: pd.DataFrame, mean: float, *, seed: int = 2) -> pd.DataFrame:
    """A business figure of each request, when it came."""
    return feedback(rows, rows["at"], value=np.random.default_rng(seed).gamma(4.0, mean / 4, len(rows)))


def feedback(
    rows: pd.DataFrame, times: pd.Series, *, label: object = None, value: object = None
) -> pd.DataFrame:
    """What was posted on these requests."""
    columns = {
        "request_id": rows["request_id"],
        "position": None,
        "at": times,
        "label": label,
        "reward": np.nan,
        "value": value,
    }
    return pd.DataFrame(columns).astype({"value": float}).reset_index(drop=True)


def posted(rows: Sequence[tuple[Any, ...]] = ()) -> pd.DataFrame:
    """Feedback: request, when, label and value."""
    columns = {
        "request_id": [row[0] for row in rows],
        "position": pd.Series([None] * len(rows), dtype=object),
        "at": pd.to_datetime([row[1] for row in rows], utc=True),
        "label": pd.Series([row[2] for row in rows], dtype=object),
        "reward": np.nan,
        "value": pd.Series([row[3] for row in rows], dtype=float),
    }
    return pd.DataFrame(columns)[list(POSTED)]


def outcomes(rows: pd.DataFrame, feedback: pd.DataFrame | None = None) -> Outcomes:
    """What one version answered."""
    return outcomes_of(rows[list(CAPTURED)], posted() if feedback is None else feedback)


def rolling(**known: Any) -> Release:
    """Version 3 rolls out beside version 2 since the begin, at a tenth of the traffic."""
    about: dict[str, Any] = {
        "mode": "canary",
        "share": 0.10,
        "status": "rolling_out",
        "candidate": arm(),
        "champion": arm(2),
        "rollout": "one",
        "since": BEGIN,
        "stage_since": BEGIN,
        "recorded": False,
    }
    return release(**(about | known))
