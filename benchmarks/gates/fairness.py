"""How often the fairness gate refuses a gap that is there, and one that is noise, beside a bare threshold.

Each simulation draws how many answers of each group are right, and the gate judges the gap by the shipped
policy. The threshold refuses where the gap itself is beyond the limit: that is what the peers do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.claim import Claim, at_least, at_most
from benchmarks.gates.shipped import GROUP, POLICY, passes
from materializers.evaluation.fairness import Fairness, FairnessColumn
from steps.evaluation.slices.gap import gap_metric

LIMIT = POLICY.rules["fairness_gap"].limit
SIMULATIONS, QUICK_SIMULATIONS = 500, 100
SIZES = (100, 300, 500, 1000, 2000)
"""Rows of each group."""
DETECTED_AT = 500
ACCURACY = 0.85
"""Of the best group: the lowest that the gate admits of a whole model, and so the noisiest."""
TRUE_GAP = 0.20
RESAMPLES = 1000
FALSE_ALARMS, DETECTED = 0.05, 0.90


@dataclass(frozen=True)
class Refused:
    """The share of the simulations that each way refused."""

    gate: float
    threshold: float


def measure(*, quick: bool) -> list[Claim]:
    """Two groups, and five of which one is as much better than three as these are than the last."""
    simulations = QUICK_SIMULATIONS if quick else SIMULATIONS
    middle = ACCURACY - TRUE_GAP / 2
    unequal = {2: (ACCURACY, ACCURACY - TRUE_GAP), 5: (ACCURACY, *(middle,) * 3, ACCURACY - TRUE_GAP)}
    claims = []
    for count, accuracies in unequal.items():
        found = refused(np.array(accuracies), DETECTED_AT, simulations)
        claims.append(
            at_least(
                f"fairness detection: a true gap of {TRUE_GAP:.2f}, {count} groups of {DETECTED_AT}, share "
                f"of {simulations} simulations that is refused, beside a bare threshold",
                found.gate,
                DETECTED,
                "",
                peer=found.threshold,
            )
        )
    for count in unequal:
        for size in SIZES:
            found = refused(np.full(count, ACCURACY), size, simulations)
            claims.append(
                at_most(
                    f"fairness false alarms: {count} equal groups of {size:,}, share of {simulations} "
                    "simulations that is refused, beside a bare threshold",
                    found.gate,
                    FALSE_ALARMS,
                    "",
                    peer=found.threshold,
                )
            )
    return claims


def refused(accuracies: NDArray[np.float64], size: int, simulations: int, *, seed: int = 0) -> Refused:
    """How often groups of these true accuracies are refused.

    Args:
        accuracies: ``(g,)``.
        size: rows of each group.
        simulations: how many test sets are drawn.
        seed: of the draws.
    """
    sizes = np.full(len(accuracies), size)
    generator = np.random.default_rng([seed, size, len(accuracies)])
    gate = threshold = 0
    for right in generator.binomial(sizes, accuracies, size=(simulations, len(sizes))):
        gap = gap_metric(right, sizes, resamples=RESAMPLES, seed=seed)
        gate += not passes(Fairness(columns={GROUP: FairnessColumn(gap=gap)}).measured())
        threshold += gap.value is not None and gap.value > LIMIT
    return Refused(gate / simulations, threshold / simulations)
