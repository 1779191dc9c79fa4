"""Challengers of a known true difference to the champion: how often each is promoted, and how often refused.

A test row is one of five classes, each as frequent, and golden, new or neither; what the two models make of
it follows from the true difference and the discordance, the share of rows that one model alone has right.

Thousands of test sets are judged at once, from their counts, by the tests that the gate's comparison is made
of. Some of each kind are also made into rows and answers, compared and judged by the gate itself: one of the
claims is that it decides alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from benchmarks.claim import Claim, at_least, at_most
from benchmarks.gates.shipped import DEMO_POLICY, POLICY, passes
from steps.evaluation.comparison.compare import Answers, Other, Rows, compare
from steps.evaluation.comparison.paired import harm_p, holm, inferiority_p
from steps.evaluation.comparison.settings import ComparisonSettings
from steps.evaluation.policy import Policy

Counts = NDArray[np.int64]
"""``(simulations, classes, kinds, 3)``: rows that the champion alone, the challenger alone, and both or
neither have right."""
Passed = NDArray[np.bool_]

SIMULATIONS = 2000
SIZES = (300, 500, 1000, 2000, 5000)
SIZE, SMALL = 2000, 300
CLASSES = 5
GOLDEN, NEW, NEITHER = range(3)
KINDS = (0.2, 0.3, 0.5)
"""The shares of golden, new and other rows."""
DISCORDANCES = (0.02, 0.04, 0.06, 0.08, 0.10, 0.12)
SMALL_DISCORDANCES = (0.02, 0.04, 0.06)
LOSSES = (0.02, 0.03, 0.04)
GAIN = 0.03
SETTINGS, DEMO_SETTINGS = POLICY.comparison, DEMO_POLICY.comparison
DEMO_SIZE = 450
"""The sample's test pictures."""
CHECKED = 10
"""Of each kind of test set that the gate itself judges, too."""
OVERALL = "accuracy_difference_to_champion"


def drawn(n: int, discordance: float, difference: float, simulations: int, seed: int = 0) -> Counts:
    """Draw test sets of n rows and both models' answers to them.

    Args:
        n: how many rows.
        discordance: the share of rows that one model alone has right.
        difference: the challenger's true accuracy less the champion's; at most the discordance.
        simulations: how many test sets.
        seed: of the draw.
    """
    outcomes = [(discordance - difference) / 2, (discordance + difference) / 2, 1 - discordance]
    cells = np.multiply.outer(np.multiply.outer(np.full(CLASSES, 1 / CLASSES), KINDS), outcomes)
    counts = np.random.default_rng(seed).multinomial(n, cells.ravel(), size=simulations)
    return counts.reshape(simulations, CLASSES, len(KINDS), 3)


def overall_passes(counts: Counts, settings: ComparisonSettings = SETTINGS) -> Passed:
    """Where a loss of the margin is excluded, ``(simulations,)``."""
    n, lost, won = totals(counts.sum(axis=(1, 2)))
    return np.asarray(inferiority_p(n, lost, won, settings.margin) <= settings.alpha)


def harmed(counts: Counts, settings: ComparisonSettings = SETTINGS) -> tuple[Passed, Passed]:
    """Where golden set or new rows, and where a class shows significant harm, each ``(simulations,)``."""
    subsets = harm_p(*totals(counts.sum(axis=1)[:, [GOLDEN, NEW]]), settings.subset_margin)
    n, lost, won = totals(counts.sum(axis=2))
    classes = np.where(n >= settings.min_n, harm_p(n, lost, won, settings.class_margin), np.nan)
    # A NaN is not below.
    of_subsets, of_classes = (holm(p) < settings.harm_alpha for p in (subsets, classes))
    return np.any(of_subsets, axis=-1), np.any(of_classes, axis=-1)


def stands(counts: Counts, settings: ComparisonSettings = SETTINGS) -> Passed:
    """Where the whole comparison speaks for the challenger."""
    of_subsets, of_classes = harmed(counts, settings)
    return overall_passes(counts, settings) & ~of_subsets & ~of_classes


def bare_passes(counts: Counts, margin: float = SETTINGS.margin) -> Passed:
    """Where the measured difference is within the margin, whatever n is."""
    n, lost, won = totals(counts.sum(axis=(1, 2)))
    return np.asarray((won - lost) / n >= -margin)


def bare_harmed(counts: Counts, margin: float = SETTINGS.class_margin) -> Passed:
    """Where a class's measured recall has fallen by more than the margin."""
    n, lost, won = totals(counts.sum(axis=2))
    return np.asarray(((won - lost) / np.maximum(n, 1) < -margin).any(axis=-1))


def decided_alike(counts: Counts, policy: Policy = POLICY) -> float:
    """The share of the test sets that the gate itself decides on as their counts do."""
    overall, whole = decided(counts, policy)
    return float(np.mean((overall == overall_passes(counts)) & (whole == stands(counts))))


def decided(counts: Counts, policy: Policy = POLICY) -> tuple[Passed, Passed]:
    """What the gate itself decides on each test set: of all rows together, and of everything it compares.

    Returns:
        Twice ``(simulations,)``: what ``overall_passes`` and ``stands`` say of the same counts.
    """
    found = [list(compare(*answered_to(each), policy.comparison).measured()) for each in counts]
    overall = [passes((one for one in each if one.metric == OVERALL), policy) for each in found]
    return np.array(overall), np.array([passes(each, policy) for each in found])


def answered_to(counts: Counts) -> tuple[Rows, Answers, Other]:
    """Rows and answers with the counts of one test set, ``(classes, kinds, 3)``."""
    names = np.array([f"class {number}" for number in range(len(counts))], dtype=object)
    label, kind, outcome = (np.repeat(each.ravel(), counts.ravel()) for each in np.indices(counts.shape))
    wrong = names[(label + 1) % len(names)]
    ours, theirs = (np.where(outcome == lost, wrong, names[label]) for lost in (0, 1))
    known = tuple(names.tolist())
    rows = Rows(names[label], golden=kind == GOLDEN, new=kind == NEW)
    return rows, Answers(ours, known), Other(Answers(theirs, known))


def totals(counts: Counts) -> tuple[Counts, Counts, Counts]:
    """Rows, rows that the champion alone has right, rows that the challenger alone has right."""
    return counts.sum(axis=-1), counts[..., 0], counts[..., 1]


def measure(simulations: int = SIMULATIONS) -> list[Claim]:
    """False promotions, missed ones, power and false alarms."""
    return [
        *(_false_promotions(n, simulations) for n in SIZES),
        _missed(simulations),
        _equal(simulations),
        *_false_alarms(simulations),
        _agreement(),
    ]


def _false_promotions(n: int, simulations: int) -> Claim:
    worse = [
        drawn(n, discordance, -loss, simulations)
        for loss, discordance in product(LOSSES, DISCORDANCES)
        if loss <= discordance
    ]
    return at_most(
        f"challengers promoted on overall accuracy that are truly worse by {_points(LOSSES)} points, n = "
        f"{n:,}, discordance {_points(DISCORDANCES)} %, {simulations:,} each, the worst of "
        f"{len(worse)}, beside a bare threshold on the measured difference",
        max(float(overall_passes(each).mean()) for each in worse),
        0.05,
        "",
        peer=max(float(bare_passes(each).mean()) for each in worse),
    )


def _missed(simulations: int) -> Claim:
    better = [drawn(SIZE, each, GAIN, simulations) for each in DISCORDANCES if each >= GAIN]
    return at_most(
        f"challengers refused, golden set, new rows and classes looked at too, that are truly better by "
        f"{_points([GAIN])} points, n = {SIZE:,}, discordance up to {_points(DISCORDANCES[-1:])} %, "
        f"{simulations:,} each, beside a bare threshold",
        max(float(1 - stands(each).mean()) for each in better),
        0.10,
        "",
        peer=max(float(1 - bare_passes(each).mean()) for each in better),
    )


def _equal(simulations: int) -> Claim:
    equal, small, demo = (
        [drawn(n, each, 0.0, simulations) for each in SMALL_DISCORDANCES] for n in (SIZE, SMALL, DEMO_SIZE)
    )
    whole, at_small, at_demo = (
        min(float(passes.mean()) for passes in each)
        for each in (
            [stands(each) for each in equal],
            [overall_passes(each) for each in small],
            [overall_passes(each, DEMO_SETTINGS) for each in demo],
        )
    )
    return at_least(
        f"challengers that are truly equal and pass the overall rule, n = {SIZE:,}, margin "
        f"{_points([SETTINGS.margin])} points, discordance up to {_points(SMALL_DISCORDANCES[-1:])} %, "
        f"{simulations:,} each (the whole comparison: {whole:.3f}; at n = {SMALL}: {at_small:.3f}; at n = "
        f"{DEMO_SIZE} with the demo's {_points([DEMO_SETTINGS.margin])} points: {at_demo:.3f}), beside a "
        "bare threshold",
        min(float(overall_passes(each).mean()) for each in equal),
        0.90,
        "",
        peer=min(float(bare_passes(each).mean()) for each in equal),
    )


def _false_alarms(simulations: int) -> list[Claim]:
    equal = [drawn(n, each, 0.0, simulations) for n, each in product(SIZES, DISCORDANCES)]
    of_subsets, of_classes = (max(float(harmed(each)[which].mean()) for each in equal) for which in (0, 1))
    about = (
        f"of {len(equal)} sizes ({SIZES[0]:,}-{SIZES[-1]:,} rows) and discordances, {simulations:,} each, "
        "beside a bare threshold of"
    )
    return [
        at_most(
            f"challengers that are truly equal and refused for their golden set or their new rows, the worst "
            f"{about} no loss",
            of_subsets,
            0.05,
            "",
            peer=max(float(_any_loss(each).mean()) for each in equal),
        ),
        at_most(
            f"challengers that are truly equal and refused for one of {CLASSES} classes, the worst {about} "
            f"{_points([SETTINGS.class_margin])} points a class",
            of_classes,
            0.05,
            "",
            peer=max(float(bare_harmed(each).mean()) for each in equal),
        ),
    ]


def _agreement() -> Claim:
    drawings = [
        drawn(n, discordance, difference, CHECKED)
        for n, discordance, difference in product(SIZES, DISCORDANCES, (0.0, GAIN, *np.negative(LOSSES)))
        if abs(difference) <= discordance
    ]
    return at_least(
        "simulated test sets on which compare and apply_policy, with configs/policy.yaml, decide as is "
        f"counted here, of {CHECKED * len(drawings):,} of every size, discordance and difference",
        float(np.mean([decided_alike(each) for each in drawings])),
        1.0,
        "",
    )


def _any_loss(counts: Counts) -> Passed:
    """Where golden set or new rows have a measured loss."""
    _, lost, won = totals(counts.sum(axis=1)[:, [GOLDEN, NEW]])
    return np.asarray((won < lost).any(axis=-1))


def _points(shares: Sequence[float]) -> str:
    """Of a hundred, the first to the last."""
    return "-".join(f"{100 * each:g}" for each in (shares if len(shares) == 1 else (shares[0], shares[-1])))
