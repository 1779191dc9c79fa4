"""How long a decision takes on 10,000 × 64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.claim import Claim, at_most
from benchmarks.dataset.timing import medians
from benchmarks.monitoring.answered import MODEL
from materializers.drift_reference import MEASURED, DriftReference
from steps.monitoring.drift.settings import DriftSettings
from steps.monitoring.drift.signals import drift_signals

ROWS, COLUMNS, CLASSES = 10_000, 64, 5
DECISION_S = 60.0


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """The claims about time; quick: of a tenth of the rows."""
    rows = ROWS // 10 if quick else ROWS
    reference, window = (_drawn(rows, seed) for seed in range(2))
    name = f"{rows:,} × {COLUMNS}"
    decided = medians(
        {"all": lambda: drift_signals(reference, window, threshold=0.5, settings=DriftSettings())}, rounds=1
    )
    what = f"the whole decision, calibration included, {name}: CPU"
    return [at_most(what, decided["all"], DECISION_S, "s")]


def _drawn(rows: int, seed: int) -> DriftReference:
    draw = np.random.default_rng(seed)
    scores = draw.dirichlet(np.ones(CLASSES), rows).astype(np.float32)
    index = pd.DataFrame({column: draw.normal(100, 10, rows) for column in MEASURED}).assign(
        image_id=[f"{seed}-{number}" for number in range(rows)], split="test", label="", embedded=True
    )
    embeddings = draw.normal(size=(rows, COLUMNS)).astype(np.float32)
    return DriftReference(index, scores, embeddings, tuple(f"class {n}" for n in range(CLASSES)), MODEL)
