"""What splits must be so that a model can be learnt and judged on them."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from materializers.data_report import Check
from materializers.report import counted
from materializers.splits import APART, SPLITS, TEST
from steps.data.checks.judging import judged, not_assessed
from steps.data.checks.limits import CheckLimit, NeededLimit

LARGE_CLASS = 1_000
"""Pictures from which on a share of a class says something: 1 % of them is ten."""
SHOWN = 5


def check_shares(counts: pd.DataFrame, wanted: Mapping[str, float], limit: CheckLimit) -> Check:
    """Whether each split has its share, of every class that is large enough.

    Args:
        counts: pictures per class (rows) and split (columns).
        wanted: the configured share of each split.
        limit: the largest difference between a share and what is configured.
    """
    large = counts.loc[counts[list(SPLITS)].sum(axis=1) >= LARGE_CLASS, list(SPLITS)]
    if large.empty:
        reason = f"No class has {LARGE_CLASS:,} pictures, from which on shares are compared."
        return not_assessed("split_shares", limit, reason)
    shares = large.div(large.sum(axis=1), axis=0)
    differences = {
        (str(label), split): abs(share - wanted[split])
        for split in SPLITS
        for label, share in shares[split].items()
    }
    label, split = max(differences, key=differences.__getitem__)
    measured = float(differences[label, split])
    reason = (
        f"The share that is farthest from its configured {wanted[split]:.1%} is that of {split} in {label}: "
        f"{measured:.1%} away; at most {limit.limit:.1%} is expected."
    )
    mend = (
        "What is in a split stays there: the next deliveries fill what is lacking, or, where it is split by "
        "time, another name (product.model) is split anew."
    )
    return judged("split_shares", measured, limit, "at most", reason, mend)


def check_every_class(counts: pd.DataFrame, limit: CheckLimit) -> Check:
    """Whether every class is in every split: else it cannot be learnt, tuned or judged."""
    lacking = [f"{label} in {name}" for name in SPLITS for label in counts.index[counts[name] == 0]]
    shown = f" ({', '.join(lacking[:SHOWN])})" if lacking else ""
    reason = f"{len(lacking):,} times a class has no picture in a split{shown}; {limit.limit:g} may be."
    mend = "Deliver more pictures of these classes: python run.py --train --source PATH."
    return judged("classes_in_every_split", len(lacking), limit, "at most", reason, mend)


def check_tested(counts: pd.DataFrame, needed: int) -> Check:
    """Whether a required rule of the policy could be assessed at all on so few pictures for testing.

    Args:
        counts: pictures per class (rows) and split (columns).
        needed: the largest ``min_n`` of a required rule.
    """
    there = int(counts[TEST].sum())
    limit = NeededLimit(limit=needed)
    reason = (
        f"There are {counted(there, 'picture')} for testing, and a required rule of the policy needs "
        f"{needed:,} (min_n), so that no model could pass."
        if there < needed
        else f"There are {counted(there, 'picture')} for testing; the policy needs {needed:,}."
    )
    mend = "Deliver more pictures, or lower that rule's min_n under policy.rules."
    return judged("tested", there, limit, "at least", reason, mend)


def check_set_apart(counts: pd.DataFrame, limit: CheckLimit) -> Check:
    """Whether too much of the dataset is set apart, as by a group that stands for a whole supplier."""
    apart, rows = int(counts[APART].sum()), int(counts.to_numpy().sum())
    share = apart / rows if rows else 0.0
    reason = (
        f"{counted(apart, 'picture')} set apart: {share:.1%} of {rows:,}; at most {limit.limit:.1%} may be."
    )
    mend = "Correct the groups in labels.csv, where one is no single product, or raise split.set_apart."
    return judged("set_apart", share, limit, "at most", reason, mend)
