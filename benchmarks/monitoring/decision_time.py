"""How long a decision takes on 10,000 × 64, and what of it Evidently's preset takes many times as long for.

The peer is asked for no more than ours: the population stability index of each column, and which of them
exceed the usual 0.1. It has bins of its own.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.claim import Claim, at_most
from benchmarks.dataset.timing import medians
from benchmarks.monitoring.answered import MODEL
from materializers.drift_reference import MEASURED, DriftReference
from steps.monitoring.drift.settings import DriftSettings
from steps.monitoring.drift.signals import drift_signals, stability_index
from steps.monitoring.explain import NO_TRACKING

ROWS, COLUMNS, CLASSES = 10_000, 64, 5
DECISION_S, TIMES_LESS = 60.0, 100
MOVED, BY = 16, 0.5
"""Columns that differ, by so many deviations: an index of about 0.25."""
INDEX = 0.1


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """The claims about time; quick: of a tenth of the rows."""
    rows = ROWS // 10 if quick else ROWS
    reference, window = (_drawn(rows, seed) for seed in range(2))
    name = f"{rows:,} × {COLUMNS}"
    decided = medians(
        {"all": lambda: drift_signals(reference, window, threshold=0.5, settings=DriftSettings())}, rounds=1
    )
    what = f"the whole decision, calibration included, {name}: CPU"
    return [at_most(what, decided["all"], DECISION_S, "s"), *_beside_evidently(rows)]


def _beside_evidently(rows: int) -> list[Claim]:
    """The index alone beside the preset's: the time, and the columns that either names."""
    os.environ[NO_TRACKING] = "1"
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names = [f"column {number}" for number in range(COLUMNS)]
    draw = np.random.default_rng(2)
    was, now = draw.normal(size=(rows, COLUMNS)), draw.normal(size=(rows, COLUMNS))
    now[:, :MOVED] += BY
    about = DataDefinition(numerical_columns=names)
    sides = [
        Dataset.from_pandas(pd.DataFrame(side, columns=names), data_definition=about) for side in (now, was)
    ]

    def ours() -> set[str]:
        index = (stability_index(*columns) for columns in zip(was.T, now.T, strict=True))
        return {name for name, value in zip(names, index, strict=True) if value > INDEX}

    def theirs() -> set[str]:
        preset = DataDriftPreset(method="psi", threshold=INDEX)
        said = Report([preset]).run(*sides).dict()["metrics"]
        return {
            one["config"]["column"]
            for one in said
            if "column" in one["config"] and float(one["value"]) > INDEX
        }

    times = medians({"ours": ours, "Evidently": theirs}, rounds=3)
    name = f"{rows:,} × {COLUMNS}"
    return [
        at_most(
            f"the population stability index alone, {name}, peer Evidently's preset with it: CPU",
            times["ours"],
            times["Evidently"] / TIMES_LESS,
            "s",
            peer=times["Evidently"],
        ),
        at_most(
            f"columns of {COLUMNS}, {MOVED} of which differ, that one of the two names and the other not",
            len(ours() ^ theirs()),
            0,
            "",
        ),
    ]


def _drawn(rows: int, seed: int) -> DriftReference:
    draw = np.random.default_rng(seed)
    scores = draw.dirichlet(np.ones(CLASSES), rows).astype(np.float32)
    index = pd.DataFrame({column: draw.normal(100, 10, rows) for column in MEASURED}).assign(
        image_id=[f"{seed}-{number}" for number in range(rows)], split="test", label="", embedded=True
    )
    embeddings = draw.normal(size=(rows, COLUMNS)).astype(np.float32)
    return DriftReference(index, scores, embeddings, tuple(f"class {n}" for n in range(CLASSES)), MODEL)
